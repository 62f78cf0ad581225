package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
)

// self is this process, where a process id is wanted.
const self = 0

func proc(pid int, file string) string {
	if pid == self {
		return "/proc/self/" + file
	}
	return fmt.Sprintf("/proc/%d/%s", pid, file)
}

// forgetPeak starts the measurement of peakMB anew, where there is a Linux to
// do that.
func forgetPeak(pid int) {
	os.WriteFile(proc(pid, "clear_refs"), []byte("5"), 0)
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMB is the most memory that a process held, in 1e6 bytes; NaN if the
// system does not say.
func peakMB(pid int) number {
	status, err := os.ReadFile(proc(pid, "status"))
	if err != nil {
		return number(nan)
	}
	m := highWater.FindSubmatch(status)
	if m == nil {
		return number(nan)
	}
	kb, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		return number(nan)
	}
	return number(kb * 1024 / 1e6)
}
