// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func nanosleep(d time.Duration) {
	t := clock()
	ts := syscall.NsecToTimespec(int64(d))
	for syscall.Nanosleep(&ts, &ts) == syscall.EINTR {
	}
	check(clock()-t >= int64(d), "a short nanosleep")
}

const callers, calls = 64, 20

func usleeps(name string, between func(sink chan<- int64, i int64)) {
	p := startPair()
	alone := p.alone()
	sink := make(chan int64)
	go func() {
		for range sink {
		}
	}()
	before, t, cpu := p.rounds.Load(), clock(), processCPU()
	var wg sync.WaitGroup
	var n atomic.Int64
	for range callers {
		wg.Go(func() {
			for i := range int64(calls) {
				nanosleep(10 * time.Millisecond)
				n.Add(1)
				between(sink, i)
			}
		})
	}
	wg.Wait()
	wall := float64(clock() - t)
	row(wall/1e6, "%s_wall_ms", name)
	row(float64(processCPU()-cpu)/1e6, "%s_cpu_ms", name)
	row(alone, "%s_pp_alone_per_s", name)
	row(float64(p.rounds.Load()-before)*1e9/wall, "%s_pp_beside_per_s", name)
	check(n.Load() == callers*calls, "%d calls", n.Load())
	row(float64(threadCount()), "%s_threads", name)
	close(sink)
	p.end()
}

const holders, sections = 4, 10

func mutex(name string, asleep bool) {
	p := startPair()
	alone := p.alone()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var n int
	before, t := p.rounds.Load(), clock()
	for range holders {
		wg.Go(func() {
			for range sections {
				mu.Lock()
				was, end := n, clock()+30*ms
				if asleep {
					nanosleep(30 * time.Millisecond)
				}
				for clock() < end {
				}
				check(n == was, "two inside")
				n = was + 1
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	wall := float64(clock() - t)
	row(float64(n), "%s_sections", name)
	row(wall/1e6, "%s_wall_ms", name)
	row(alone, "%s_pp_alone_per_s", name)
	row(float64(p.rounds.Load()-before)*1e9/wall, "%s_pp_beside_per_s", name)
	check(n == holders*sections, "%d sections", n)
	p.end()
}

func awaitInside(inside *atomic.Int64, n int64) {
	for inside.Load() < n {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(500 * time.Millisecond)
}

func threadRows(name string, peak int, wg *sync.WaitGroup) {
	wg.Wait()
	row(float64(peak), "%s_peak", name)
	time.Sleep(10 * time.Second)
	row(float64(threadCount()), "%s_10s_later", name)
}

func threadsOfHogs() {
	var stop atomic.Bool
	var inside atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			inside.Add(1)
			for !stop.Load() {
			}
		})
	}
	awaitInside(&inside, 100)
	peak := threadCount()
	stop.Store(true)
	threadRows("threads_hogs100", peak, &wg)
}

func threadsOfCalls() {
	var ends [2]int
	var inside atomic.Int64
	var wg sync.WaitGroup
	check(syscall.Pipe(ends[:]) == nil, "pipe")
	for range 500 {
		wg.Go(func() {
			var b [1]byte
			inside.Add(1)
			n, _ := syscall.Read(ends[0], b[:])
			check(n == 1, "read")
		})
	}
	awaitInside(&inside, 500)
	peak := threadCount()
	syscall.Write(ends[1], make([]byte, 500))
	threadRows("threads_calls500", peak, &wg)
}

func init() {
	on2("usleep", func() { usleeps("usleep", func(chan<- int64, int64) {}) })
	on2("usleep_yield", func() { usleeps("usleep_yield", func(chan<- int64, int64) { runtime.Gosched() }) })
	on2("usleep_send", func() { usleeps("usleep_send", func(c chan<- int64, i int64) { c <- i }) })
	cases["mutex30_sleep"] = func() { mutex("mutex30_sleep", true) }
	cases["mutex30_compute"] = func() { mutex("mutex30_compute", false) }
	on2("threads_hogs100", threadsOfHogs)
	on2("threads_calls500", threadsOfCalls)
}
