// SPDX-License-Identifier: Apache-2.0

// Go's side of bench/latency: see ../../README.md for what each row says.
package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	ms        = int64(time.Millisecond)
	sliceTime = 10 * ms
	noSuch    = 77
)

// cases by name; only1 and only2 are those that make sense with so many Ps only.
var (
	cases  = map[string]func(){}
	only1  = map[string]bool{}
	only2  = map[string]bool{}
	procs  int
	window = 5 * time.Second
	start  = time.Now()
)

func clock() int64 { return int64(time.Since(start)) }

func fail(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "VERIFY FAILED: "+format+"\n", a...)
	os.Exit(1)
}

func check(ok bool, format string, a ...any) {
	if !ok {
		fail(format, a...)
	}
}

func row(value float64, format string, a ...any) {
	fmt.Printf("%s\t%.3f\n", fmt.Sprintf(format, a...), value)
}

// percentile gives the nearest rank.
func percentile(sorted []int64, p float64) int64 {
	i := int(float64(len(sorted))*p+0.9999999) - 1
	return sorted[max(i, 0)]
}

func rowPercentiles(prefix string, v []int64) {
	check(len(v) > 0, "%s: nothing was measured", prefix)
	slices.Sort(v)
	row(float64(percentile(v, .5))/1e3, "%s_p50_us", prefix)
	row(float64(percentile(v, .99))/1e3, "%s_p99_us", prefix)
	row(float64(v[len(v)-1])/1e3, "%s_max_us", prefix)
}

func processCPU() int64 {
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return ru.Utime.Nano() + ru.Stime.Nano()
}

func threadCount() int {
	b, _ := os.ReadFile("/proc/self/status")
	for _, l := range strings.Split(string(b), "\n") {
		if n, ok := strings.CutPrefix(l, "Threads:"); ok {
			v, _ := strconv.Atoi(strings.TrimSpace(n))
			return v
		}
	}
	return 0
}

// pair plays ping-pong until it is told to stop.
type pair struct {
	there, back chan int64
	rounds      atomic.Int64
	stop        atomic.Bool
	players     sync.WaitGroup
}

func startPair() *pair {
	p := &pair{there: make(chan int64), back: make(chan int64)}
	p.players.Go(func() {
		for i := int64(0); !p.stop.Load(); i++ {
			p.there <- i
			check(<-p.back == i+1, "ping-pong")
			p.rounds.Store(i + 1)
		}
		close(p.there)
	})
	p.players.Go(func() {
		for ball := range p.there {
			p.back <- ball + 1
		}
	})
	return p
}

func (p *pair) alone() float64 {
	t, before := clock(), p.rounds.Load()
	time.Sleep(500 * time.Millisecond)
	return float64(p.rounds.Load()-before) * 1e9 / float64(clock()-t)
}

func (p *pair) end() {
	p.stop.Store(true)
	p.players.Wait()
}

func on2(name string, f func()) {
	cases[name] = f
	only2[name] = true
}

func main() {
	if len(os.Args) < 3 {
		for name := range cases {
			fmt.Println(name)
		}
		os.Exit(2)
	}
	procs, _ = strconv.Atoi(os.Args[2])
	if s, err := strconv.ParseFloat(os.Getenv("SECONDS"), 64); err == nil && s > 0 {
		window = time.Duration(s * 1e9)
	}
	f := cases[os.Args[1]]
	if f == nil || (only2[os.Args[1]] && procs != 2) || (only1[os.Args[1]] && procs != 1) {
		os.Exit(noSuch)
	}
	runtime.GOMAXPROCS(procs)
	f()
}
