// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func sleepers(tasks, each int64) (wall, cpu, p50, p99 float64) {
	late := make([]int64, tasks*each)
	var wg sync.WaitGroup
	c0, t0 := cpuMS(), time.Now()
	for i := int64(0); i < tasks; i++ {
		wg.Add(1)
		go func() {
			for r := int64(0); r < each; r++ {
				d := time.Duration(1+(7*i+13*r)%10) * time.Millisecond
				t := time.Now()
				time.Sleep(d)
				late[i*each+r] = int64(time.Since(t) - d)
			}
			wg.Done()
		}()
	}
	wg.Wait()
	wall, cpu = float64(time.Since(t0))/1e6, cpuMS()-c0
	slices.Sort(late)
	check(late[0] >= 0, "short sleep")
	return wall, cpu, pct(late, .5) / 1e3, pct(late, .99) / 1e3
}

type xorshift uint64

func (x *xorshift) next() uint64 {
	v := *x
	v ^= v << 13
	v ^= v >> 7
	v ^= v << 17
	*x = v
	return uint64(v)
}

func timerHeap() []float64 {
	const pending = 1000000
	x := xorshift(88172645463325252)
	var fired atomic.Int64
	cb := func() { fired.Add(1) }
	ts := make([]*time.Timer, pending)
	for i := range ts { // fault the slice in, so that bytes are the timers' own
		ts[i] = nil
	}
	m0 := memBytes()
	t := time.Now()
	for i := range ts {
		ts[i] = time.AfterFunc(time.Hour+time.Duration(x.next()%uint64(time.Hour)), cb)
	}
	create := time.Since(t)
	m1 := memBytes()
	const ops = 300000
	t = time.Now()
	for i := 0; i < ops; i++ {
		tm := time.AfterFunc(time.Hour+time.Duration(x.next()%uint64(time.Hour)), cb)
		check(tm.Stop(), "timer not pending")
	}
	op := time.Since(t)
	t = time.Now()
	for _, tm := range ts {
		check(tm.Stop(), "timer not pending")
	}
	stop := time.Since(t)
	check(fired.Load() == 0, "fired")
	return []float64{float64(create) / pending, float64(op) / ops, float64(stop) / pending, float64(m1-m0) / pending}
}

func memCase(name string, tasks int64) {
	cases[name] = func() {
		bench(1, false, []string{name + "_bytes", name + "_create_ms"}, func() []float64 {
			gate := make(chan int64)
			var parked, woken atomic.Int64
			m0, t := memBytes(), time.Now()
			for i := int64(0); i < tasks; i++ {
				go func() {
					parked.Add(1)
					<-gate
					woken.Add(1)
				}()
			}
			waitCount(&parked, tasks)
			create := time.Since(t)
			time.Sleep(50 * time.Millisecond)
			m1 := memBytes()
			close(gate)
			waitCount(&woken, tasks)
			check(woken.Load() == tasks, "mem %d", woken.Load())
			return []float64{float64(m1-m0) / float64(tasks), float64(create) / 1e6}
		})
	}
}

func hogs() {
	if procs != 2 {
		os.Exit(77)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	late := make([]int64, 0, 100000)
	wg.Add(5)
	go func() {
		for !stop.Load() {
			t := time.Now()
			time.Sleep(time.Millisecond)
			late = append(late, int64(time.Since(t)-time.Millisecond))
		}
		wg.Done()
	}()
	var steps [4]int64
	for i := range steps {
		go func() {
			x := xorshift(88172645463325252 + uint64(i))
			var c int64
			for !stop.Load() {
				for j := 0; j < 1024; j++ {
					x.next()
				}
				c += 1024
			}
			if x == 0 {
				c = 0
			}
			steps[i] = c
			wg.Done()
		}()
	}
	time.Sleep(5 * time.Second)
	stop.Store(true)
	wg.Wait()
	slices.Sort(late)
	lo, hi := slices.Min(steps[:]), slices.Max(steps[:])
	for _, r := range []struct {
		n string
		v float64
	}{{"hog_p50_us", pct(late, .5) / 1e3}, {"hog_p99_us", pct(late, .99) / 1e3}, {"hog_max_us", pct(late, 1) / 1e3},
		{"hog_ticks_n", float64(len(late))}, {"hog_fair_ratio", float64(hi) / float64(lo)}} {
		row(r.n, r.v, r.v)
	}
}

func syscalls() []float64 {
	a, b := make(chan int64), make(chan int64)
	var rounds atomic.Int64
	var stop atomic.Bool
	var pp, wg sync.WaitGroup
	pp.Add(2)
	go func() {
		for i := int64(0); !stop.Load(); i++ {
			a <- i
			check(<-b == i+1, "pingpong")
			rounds.Store(i + 1)
		}
		close(a)
		pp.Done()
	}()
	go func() {
		for v := range a {
			b <- v + 1
		}
		pp.Done()
	}()
	t := time.Now()
	time.Sleep(300 * time.Millisecond)
	alone := float64(time.Since(t)) / float64(rounds.Load())
	var calls atomic.Int64
	r0 := rounds.Load()
	t = time.Now()
	wg.Add(64)
	for i := 0; i < 64; i++ {
		go func() {
			for j := 0; j < 20; j++ {
				t := time.Now()
				ts := syscall.Timespec{Nsec: 10e6}
				for syscall.Nanosleep(&ts, &ts) == syscall.EINTR {
				}
				check(time.Since(t) >= 10*time.Millisecond, "short nanosleep")
				calls.Add(1)
			}
			wg.Done()
		}()
	}
	wg.Wait()
	d := time.Since(t)
	with := float64(d) / float64(rounds.Load()-r0)
	stop.Store(true)
	pp.Wait()
	check(calls.Load() == 1280, "calls")
	return []float64{float64(d) / 1e6, with, alone}
}

func init() {
	cases["sleepers"] = func() {
		bench(min(reps, 3), false, []string{"sleepers_wall_ms", "sleepers_cpu_ms", "sleepers_p50_us", "sleepers_p99_us"}, func() []float64 {
			w, c, a, b := sleepers(100000, 10)
			return []float64{w, c, a, b}
		})
	}
	cases["sleeplight"] = func() {
		bench(reps, true, []string{"sleeplight_p50_us", "sleeplight_p99_us", "sleeplight_cpu_ms"}, func() []float64 {
			_, c, a, b := sleepers(100, 20)
			return []float64{a, b, c}
		})
	}
	perOp("timer", func() int64 {
		N := n(500000)
		var fired atomic.Int64
		for i := int64(0); i < N; i++ {
			check(time.AfterFunc(10*time.Second, func() { fired.Add(1) }).Stop(), "timer not pending")
		}
		check(fired.Load() == 0, "fired")
		return N
	})
	perOp("timer_ch", func() int64 {
		N := n(500000)
		for i := int64(0); i < N; i++ {
			check(time.NewTimer(10*time.Second).Stop(), "timer not pending")
		}
		return N
	})
	cases["timer_heap"] = func() {
		bench(1, false, []string{"timer_heap_create", "timer_heap_op", "timer_heap_stop", "timer_heap_bytes"}, timerHeap)
	}
	memCase("mem100k", 100000)
	memCase("mem1m", 1000000)
	memCase("mem5m", 5000000)
	cases["hog"] = hogs
	cases["syscall"] = func() {
		bench(min(reps, 3), false, []string{"syscall_wall_ms", "syscall_pp_ns", "syscall_pp_alone_ns"}, syscalls)
	}
}
