// SPDX-License-Identifier: Apache-2.0

// Go's side of the benchmark: see ../../README.md for what each case counts.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	procs int
	reps  = 5
	scale = int64(1) // divides N in the warm-up
)

type caseFunc func()

var cases = map[string]caseFunc{}

func fail(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "VERIFY FAILED: "+format+"\n", a...)
	os.Exit(1)
}

func check(ok bool, format string, a ...any) {
	if !ok {
		fail(format, a...)
	}
}

// n scales an operation count: a tenth in the warm-up, all of it in a timed repetition.
func n(full int64) int64 { return full / scale }

func row(name string, best, median float64) {
	fmt.Printf("go\t%s\tP%d\t%.2f\t%.2f\n", name, procs, best, median)
}

// bench runs f once as warm-up and then up to k times; f returns one value per name.
func bench(k int, warm bool, names []string, f func() []float64) {
	if warm {
		scale = 10
		f()
		scale = 1
	}
	vals := make([][]float64, len(names))
	start := time.Now()
	for r := 0; r < k; r++ {
		for i, v := range f() {
			vals[i] = append(vals[i], v)
		}
		if time.Since(start) > 20*time.Second {
			break
		}
	}
	for i, name := range names {
		sort.Float64s(vals[i])
		row(name, vals[i][0], vals[i][len(vals[i])/2])
	}
}

// perOp registers a case whose only row is nanoseconds per op.
func perOp(name string, f func() (ops int64)) {
	cases[name] = func() {
		bench(reps, true, []string{name}, func() []float64 {
			t := time.Now()
			ops := f()
			return []float64{float64(time.Since(t)) / float64(ops)}
		})
	}
}

// perOpTimed is perOp for cases that time only a part of what they do.
func perOpTimed(name string, f func() float64) {
	cases[name] = func() {
		bench(reps, true, []string{name}, func() []float64 { return []float64{f()} })
	}
}

func wholeMS(name string, f func()) {
	cases[name] = func() {
		bench(reps, false, []string{name}, func() []float64 {
			t := time.Now()
			f()
			return []float64{float64(time.Since(t)) / 1e6}
		})
	}
}

func statusKB(key string) int64 {
	b, _ := os.ReadFile("/proc/self/status")
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, key+":") {
			v, _ := strconv.ParseInt(strings.Fields(l)[1], 10, 64)
			return v
		}
	}
	return 0
}

func memBytes() int64 { return (statusKB("VmRSS") + statusKB("VmPTE")) * 1024 }

func cpuMS() float64 {
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1e6
}

// pct sorts v and gives the nearest-rank percentile.
func pct(v []int64, p float64) float64 {
	i := int(float64(len(v))*p+0.9999999) - 1
	if i < 0 {
		i = 0
	}
	return float64(v[i])
}

func waitCount(c *atomic.Int64, want int64) {
	for c.Load() < want {
		runtime.Gosched()
	}
}

func main() {
	if len(os.Args) < 3 {
		var l []string
		for c := range cases {
			l = append(l, c)
		}
		sort.Strings(l)
		fmt.Println(strings.Join(l, "\n"))
		os.Exit(2)
	}
	procs, _ = strconv.Atoi(os.Args[2])
	if k, err := strconv.Atoi(os.Getenv("K")); err == nil {
		reps = k
	}
	runtime.GOMAXPROCS(procs)
	f := cases[os.Args[1]]
	if f == nil {
		os.Exit(77)
	}
	f()
}
