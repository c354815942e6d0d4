package config

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// UnmarshalStrict implements [strictyaml.Unmarshaler].
func (p *Path) UnmarshalStrict(d *strictyaml.Decoder, n *yaml.Node) {
	var s string
	d.Decode(n, &s)
	*p = Path(beside(d.At(n).File, s))
}

// beside makes path absolute; relative ones are relative to file.
func beside(file, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	full := filepath.Join(filepath.Dir(file), path)
	if abs, err := filepath.Abs(full); err == nil {
		return abs
	}
	return full
}

var units = []struct {
	suffix string
	bytes  int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

// UnmarshalStrict implements [strictyaml.Unmarshaler].
func (s *Size) UnmarshalStrict(d *strictyaml.Decoder, n *yaml.Node) {
	got, err := parseSize(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.Problemf(n, "want a size such as 64MiB or 2GiB")
		return
	}
	*s = got
}

func parseSize(text string) (Size, error) {
	for _, u := range units {
		if digits, ok := strings.CutSuffix(text, u.suffix); ok {
			n, err := strconv.ParseInt(digits, 10, 64)
			if err != nil || n < 0 || n > math.MaxInt64/u.bytes {
				return 0, fmt.Errorf("config: bad size %q", text)
			}
			return Size(n * u.bytes), nil
		}
	}
	return 0, fmt.Errorf("config: bad size %q", text)
}

// UnmarshalStrict implements [strictyaml.Unmarshaler]: "auto" or a mapping.
func (t *TLS) UnmarshalStrict(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		t.Pos = d.At(n)
		if t.Auto = n.Value == "auto"; !t.Auto {
			d.Problemf(n, `want "auto" or a mapping with cert and key`)
		}
		return
	}
	type plain TLS // without this method
	d.Decode(n, (*plain)(t))
}

// UnmarshalStrict implements [strictyaml.Unmarshaler]. It never repeats what
// stands in the file: that may be the secret.
func (s *Secret) UnmarshalStrict(d *strictyaml.Decoder, n *yaml.Node) {
	s.Pos = d.At(n)
	if n.Kind == yaml.ScalarNode {
		s.Value = access.NewSecret(n.Value)
		return
	}
	if n.Kind != yaml.MappingNode {
		d.Problemf(n, "want where the secret is: {env: NAME}, {file: PATH} or {exec: [PROGRAM, ...]}")
		return
	}
	sources := 0
	d.Pairs(n, func(key, val *yaml.Node) {
		sources++
		s.source(d, key, val)
	})
	if sources != 1 {
		d.Problemf(n, "want exactly one of env, file, exec")
	}
}

func (s *Secret) source(d *strictyaml.Decoder, key, val *yaml.Node) {
	switch key.Value {
	case "env":
		d.Decode(val, &s.Env)
	case "file":
		var p Path
		d.Decode(val, &p)
		s.File = string(p)
	case "exec":
		d.Decode(val, &s.Exec)
		if len(s.Exec) > 0 && strings.Contains(s.Exec[0], "/") {
			s.Exec[0] = beside(s.Pos.File, s.Exec[0])
		}
	case "value":
		if val.Kind == yaml.ScalarNode {
			s.Value = access.NewSecret(val.Value)
		}
	case "vault":
		d.Problemf(key, "this version has no vault client; use exec with the vault's own program")
		return
	default:
		d.Problemf(key, "unknown source %q of a secret%s", key.Value, strictyaml.Suggest(key.Value, []string{"env", "file", "exec"}))
		return
	}
	if s.Env == "" && s.File == "" && len(s.Exec) == 0 && s.Value.Empty() {
		d.Problemf(val, "%s is empty", key.Value)
	}
}

// UnmarshalStrict implements [strictyaml.Unmarshaler]: a text or a list of them.
func (v *Values) UnmarshalStrict(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		var one string
		d.Decode(n, &one)
		*v = Values{one}
		return
	}
	d.Decode(n, (*[]string)(v))
}

// UnmarshalStrict implements [strictyaml.Unmarshaler]: a claim's name, or a mapping.
func (u *Username) UnmarshalStrict(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		d.Decode(n, &u.Claim)
		return
	}
	type plain Username // without this method
	d.Decode(n, (*plain)(u))
}

// UnmarshalStrict implements [strictyaml.Unmarshaler]: a claim's name, or a mapping.
func (g *GroupClaim) UnmarshalStrict(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		d.Decode(n, &g.Claim)
		return
	}
	type plain GroupClaim // without this method
	d.Decode(n, (*plain)(g))
}
