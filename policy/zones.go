package policy

import (
	"fmt"
	"regexp"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// CEL looks a time zone up by name, in a file, whenever now.getHours("Europe/Berlin")
// is evaluated. Where the name is a literal, it is looked up once, at load, which
// also makes a misspelt zone an error there.

// clockReaders are CEL's functions on a time in a zone: the overload's name and
// what it reads.
var clockReaders = map[string]struct {
	overload string
	read     func(time.Time) int
}{
	"getFullYear":     {"timestamp_to_year_with_tz", time.Time.Year},
	"getMonth":        {"timestamp_to_month_with_tz", func(t time.Time) int { return int(t.Month()) - 1 }},
	"getDayOfYear":    {"timestamp_to_day_of_year_with_tz", func(t time.Time) int { return t.YearDay() - 1 }},
	"getDayOfMonth":   {"timestamp_to_day_of_month_with_tz", func(t time.Time) int { return t.Day() - 1 }},
	"getDate":         {"timestamp_to_day_of_month_1_based_with_tz", time.Time.Day},
	"getDayOfWeek":    {"timestamp_to_day_of_week_with_tz", func(t time.Time) int { return int(t.Weekday()) }},
	"getHours":        {"timestamp_to_hours_with_tz", time.Time.Hour},
	"getMinutes":      {"timestamp_to_minutes_with_tz", time.Time.Minute},
	"getSeconds":      {"timestamp_to_seconds_tz", time.Time.Second},
	"getMilliseconds": {"timestamp_to_milliseconds_with_tz", func(t time.Time) int { return t.Nanosecond() / 1e6 }},
}

// zoned makes CEL look literal time zones up at load. (CEL calls any function
// with one literal argument that can be prepared a "regex".)
func zoned() []*interpreter.RegexOptimization {
	var all []*interpreter.RegexOptimization
	for name, r := range clockReaders {
		all = append(all, &interpreter.RegexOptimization{
			Function: name, OverloadID: r.overload, RegexIndex: 1,
			Factory: func(call interpreter.InterpretableCall, zone string) (interpreter.InterpretableCall, error) {
				loc, err := location(zone)
				if err != nil {
					return nil, err
				}
				return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), readIn(loc, r.read)), nil
			},
		})
	}
	return all
}

func readIn(loc *time.Location, read func(time.Time) int) func(...ref.Val) ref.Val {
	return func(args ...ref.Val) ref.Val {
		if len(args) != 2 {
			return types.NoSuchOverloadErr()
		}
		t, ok := args[0].(types.Timestamp)
		if !ok {
			return types.MaybeNoSuchOverloadErr(args[0])
		}
		return types.Int(read(t.In(loc)))
	}
}

var offset = regexp.MustCompile(`^([+-]?)(\d\d):([0-5]\d)$`)

// location finds a zone by name ("Europe/Berlin") or offset ("+02:00").
func location(zone string) (*time.Location, error) {
	if m := offset.FindStringSubmatch(zone); m != nil {
		t, err := time.Parse("15:04", m[2]+":"+m[3])
		if err != nil {
			return nil, fmt.Errorf("no such time zone: %q", zone)
		}
		seconds := (t.Hour()*60 + t.Minute()) * 60
		if m[1] == "-" {
			seconds = -seconds
		}
		return time.FixedZone(zone, seconds), nil
	}
	if zone == "" || zone == "Local" {
		return nil, fmt.Errorf("name the time zone: %q depends on the machine", zone)
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("no such time zone: %q", zone)
	}
	return loc, nil
}
