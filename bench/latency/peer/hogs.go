// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Between two looks at the clock: less than a hand-over of a P, more than a timer's interrupt.
const blink = 20000

// A goroutine changes threads, so no thread's CPU clock is its own. It adds up the time at work
// itself: what takes it off its loop leaves a gap in the clock.
type hog struct {
	began, inside atomic.Int64
	_             [112]byte
}

func (h *hog) run() {
	var inside int64
	last := clock()
	h.began.Store(last)
	for {
		now := clock()
		if now-last < blink {
			inside += now - last
			h.inside.Store(inside)
		}
		last = now
	}
}

func startHogs(n int) []*hog {
	hogs := make([]*hog, n)
	for i := range hogs {
		hogs[i] = new(hog)
		go hogs[i].run()
	}
	return hogs
}

func anyNew(hogs []*hog) bool {
	return slices.ContainsFunc(hogs, func(h *hog) bool { return h.began.Load() == 0 })
}

func four() {
	hogs := startHogs(4)
	for anyNew(hogs) {
		time.Sleep(10 * time.Millisecond)
	}
	var before, share [4]int64
	for i, h := range hogs {
		before[i] = h.inside.Load()
	}
	time.Sleep(window)
	for i, h := range hogs {
		share[i] = h.inside.Load() - before[i]
	}
	row(float64(slices.Max(share[:]))/float64(slices.Min(share[:])), "hogs4_ratio")
}

// crowd counts from the moment when all have begun or, early, from the start.
func crowd(n int, window time.Duration, early bool) {
	t := clock()
	hogs := startHogs(n)
	if early {
		time.Sleep(window - time.Duration(clock()-t))
	}
	for anyNew(hogs) && clock()-t < 10*int64(window) {
		time.Sleep(10 * time.Millisecond)
	}
	share := make([]int64, n)
	if !early {
		for i, h := range hogs {
			share[i] = -h.inside.Load()
		}
		time.Sleep(window)
	}
	var ran int
	var sum, last int64
	for i, h := range hogs {
		share[i] += h.inside.Load()
		sum += share[i]
		if b := h.began.Load(); b != 0 {
			ran++
			last = max(last, b)
		}
	}
	row(float64(ran), "hogs%d_ran", n)
	row(float64(last-t)/1e6, "hogs%d_last_began_ms", n)
	row(float64(slices.Min(share))/float64(sliceTime), "hogs%d_min_slices", n)
	row(float64(sum)/float64(n)/float64(sliceTime), "hogs%d_mean_slices", n)
	row(float64(slices.Max(share))/float64(sliceTime), "hogs%d_max_slices", n)
}

func overhead(n int) {
	hogs := startHogs(n)
	inside := func() (sum int64) {
		for _, h := range hogs {
			sum += h.inside.Load()
		}
		return
	}
	time.Sleep(200 * time.Millisecond)
	t, cpu, in := clock(), processCPU(), inside()
	time.Sleep(window)
	wall := float64(clock() - t)
	used, inLoops := float64(processCPU()-cpu), float64(inside()-in)
	row(100*inLoops/(wall*float64(procs)), "overhead%d_share_pct", n)
	row(100*(used-inLoops)/used, "overhead%d_of_cpu_pct", n)
}

// Hand-overs and slices.

type slicer struct {
	n            atomic.Int64 // slices that are over
	last         atomic.Int64
	begins, ends [4096]int64
}

func (h *slicer) run(off int64) {
	last := clock()
	h.begins[0] = last
	for {
		now := clock()
		n := h.n.Load()
		if now-last >= off && n < int64(len(h.begins)-1) {
			h.ends[n] = last
			h.begins[n+1] = now
			h.n.Store(n + 1)
		}
		h.last.Store(now)
		last = now
	}
}

func handoffs(n int, prefixes [2]string) {
	off := int64(n/procs-1) * sliceTime / 2
	hogs := make([]*slicer, n)
	for i := range hogs {
		hogs[i] = new(slicer)
		go hogs[i].run(off)
	}
	time.Sleep(window)
	var begins, ends, lengths, passed []int64
	for _, h := range hogs {
		last := h.last.Load()
		if last == 0 {
			continue
		}
		over := h.n.Load()
		for k := int64(0); k <= over; k++ {
			begins = append(begins, h.begins[k])
			if k < over {
				ends = append(ends, h.ends[k])
				lengths = append(lengths, h.ends[k]-h.begins[k])
			} else {
				ends = append(ends, last)
			}
		}
	}
	slices.Sort(begins)
	slices.Sort(ends)
	for k := 0; k+procs < len(begins); k++ {
		passed = append(passed, begins[k+procs]-ends[k])
	}
	rowPercentiles(prefixes[0], passed)
	rowPercentiles(prefixes[1], lengths)
}

// A goroutine that wants to run each millisecond.

func late(prefix string, what func(over *atomic.Bool, late []int64) []int64) {
	var over atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		go func() {
			for {
			}
		}()
	}
	v := make([]int64, 0, 100000)
	wg.Go(func() { v = what(&over, v) })
	time.Sleep(window)
	over.Store(true)
	wg.Wait()
	row(float64(len(v)), "%s_n", prefix)
	rowPercentiles(prefix, v)
}

func takesTicks(over *atomic.Bool, late []int64) []int64 {
	ticker := time.NewTicker(time.Millisecond)
	t := clock()
	for !over.Load() && len(late) < cap(late) {
		due := t + ((clock()-t)/ms+1)*ms
		<-ticker.C
		late = append(late, clock()-due)
	}
	ticker.Stop()
	return late
}

func sleeps(over *atomic.Bool, late []int64) []int64 {
	for !over.Load() && len(late) < cap(late) {
		t := clock()
		time.Sleep(time.Millisecond)
		late = append(late, clock()-t-ms)
	}
	return late
}

func pairBesideHog() {
	p := startPair()
	alone := p.alone()
	startHogs(1)
	t, before := clock(), p.rounds.Load()
	time.Sleep(window)
	wall := float64(clock() - t)
	row(alone, "pair_alone_per_s")
	row(float64(p.rounds.Load()-before)*1e9/wall, "pair_beside_hog_per_s")
}

func init() {
	only1["pair"] = true
	cases["pair"] = pairBesideHog
	on2("hogs4", four)
	on2("hogs100", func() { crowd(100, window, false) })
	on2("hogs1000", func() { crowd(1000, window*11/5, true) })
	on2("overhead2", func() { overhead(2) })
	on2("overhead4", func() { overhead(4) })
	cases["handoff4"] = func() { handoffs(4, [2]string{"handoff4", "slice4"}) }
	cases["handoff100"] = func() { handoffs(100, [2]string{"handoff100", "slice100"}) }
	cases["ticker"] = func() { late("ticker", takesTicks) }
	cases["sleep1ms"] = func() { late("sleep1ms", sleeps) }
}
