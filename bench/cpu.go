package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time in /proc: Linux fixes it at a hundredth of a
// second for user space (USER_HZ).
const tick = 10 * time.Millisecond

// A procStat is what /proc/PID/stat says of a process (proc_pid_stat(5)).
type procStat struct {
	pid, parent int
	own         time.Duration // of all its threads
	reaped      time.Duration // of children that it waited for
}

// parseStat reads a stat line. The name in parentheses may hold anything, so
// fields are counted from the last parenthesis.
func parseStat(line []byte) (procStat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return procStat{}, fmt.Errorf("cpu: no stat line: %q", line)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:open])))
	fields := strings.Fields(string(line[end+1:]))
	if err != nil || len(fields) < 15 {
		return procStat{}, fmt.Errorf("cpu: short stat line: %q", line)
	}
	var n [5]int64 // parent, utime, stime, cutime, cstime
	for i, field := range [5]int{1, 11, 12, 13, 14} {
		if n[i], err = strconv.ParseInt(fields[field], 10, 64); err != nil {
			return procStat{}, fmt.Errorf("cpu: %w", err)
		}
	}
	return procStat{
		pid: pid, parent: int(n[0]),
		own: time.Duration(n[1]+n[2]) * tick, reaped: time.Duration(n[3]+n[4]) * tick,
	}, nil
}

// treeCPU is the CPU time of a process and all its descendants, those that
// ended and were waited for included. 0 for pid 0.
func treeCPU(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	stats, err := allStats()
	if err != nil {
		return 0, err
	}
	return sumTree(stats, pid)
}

func allStats() ([]procStat, error) {
	names, err := readDirNames("/proc")
	if err != nil {
		return nil, err
	}
	var stats []procStat
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		line, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it ended meanwhile
		}
		s, err := parseStat(line)
		if err != nil {
			return nil, err
		}
		stats = append(stats, s)
	}
	return stats, nil
}

func readDirNames(path string) ([]string, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Readdirnames(-1)
}

func sumTree(stats []procStat, root int) (sum time.Duration, err error) {
	children := map[int][]procStat{}
	var queue []procStat
	for _, s := range stats {
		children[s.parent] = append(children[s.parent], s)
		if s.pid == root {
			queue = append(queue, s)
		}
	}
	if len(queue) == 0 {
		return 0, fmt.Errorf("cpu: process %d is gone", root)
	}
	for len(queue) > 0 {
		s := queue[0]
		queue = append(queue[1:], children[s.pid]...)
		sum += s.own + s.reaped
	}
	return sum, nil
}

// busyCPU is the CPU time that everything on the machine has used.
func busyCPU() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("cpu: /proc/stat begins with %q", line)
	}
	var sum int64
	for i, f := range fields[1:9] { // user nice system idle iowait irq softirq steal
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("cpu: %w", err)
		}
		if i != 3 && i != 4 {
			sum += n
		}
	}
	return time.Duration(sum) * tick, nil
}

// A usage is CPU time by part.
type usage struct {
	Client, Proxy, Server time.Duration
	Busy                  time.Duration // of the whole machine
}

func (u usage) minus(o usage) usage {
	return usage{u.Client - o.Client, u.Proxy - o.Proxy, u.Server - o.Server, u.Busy - o.Busy}
}

// foreign is the share of elapsed CPU time that went to none of the parts.
func (u usage) foreign(elapsed time.Duration, cpus int) float64 {
	rest := u.Busy - u.Client - u.Proxy - u.Server
	if rest < 0 || elapsed <= 0 {
		return 0
	}
	return rest.Seconds() / (elapsed.Seconds() * float64(cpus))
}

// snapshot reads the clocks of server, proxy, client and machine. At the end the
// client's is read from its exit status.
func snapshot(serverPID, proxyPID, clientPID int) (u usage, err error) {
	if u.Client, err = treeCPU(clientPID); err != nil {
		return u, err
	}
	if u.Server, err = treeCPU(serverPID); err != nil {
		return u, err
	}
	if u.Proxy, err = treeCPU(proxyPID); err != nil {
		return u, err
	}
	u.Busy, err = busyCPU()
	return u, err
}
