// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func yields(tasks, each int64) int64 {
	var wg sync.WaitGroup
	var last, switched int64 = -1, 0
	done := make([]int64, tasks)
	for i := int64(0); i < tasks; i++ {
		wg.Add(1)
		go func() {
			var c int64
			for c < each {
				if procs == 1 && last != i {
					last = i
					switched++
				}
				runtime.Gosched()
				c++
			}
			done[i] = c
			wg.Done()
		}()
	}
	wg.Wait()
	var sum int64
	for _, d := range done {
		sum += d
	}
	check(sum == tasks*each, "yields %d", sum)
	check(procs != 1 || switched*2 >= sum, "only %d of %d yields switched", switched, sum)
	return sum
}

func pingpong(rounds int64, apart bool) {
	a, b := make(chan int64), make(chan int64)
	var wg sync.WaitGroup
	var tids [2]int
	wg.Add(2)
	go func() {
		if apart {
			runtime.LockOSThread()
			tids[0] = syscall.Gettid()
		}
		var sum int64
		for i := int64(0); i < rounds; i++ {
			a <- i
			sum += <-b
		}
		check(sum == rounds*(rounds+1)/2, "pingpong sum %d", sum)
		wg.Done()
	}()
	go func() {
		if apart {
			runtime.LockOSThread()
			tids[1] = syscall.Gettid()
		}
		for i := int64(0); i < rounds; i++ {
			b <- <-a + 1
		}
		wg.Done()
	}()
	wg.Wait()
	check(!apart || tids[0] != tids[1], "not apart")
}

func init() {
	perOp("yield2", func() int64 { return yields(2, n(1000000)) })
	perOp("yield10k", func() int64 { return yields(10000, n(200)) })

	perOp("spawn", func() int64 {
		var c atomic.Int64
		batches := n(1000)
		for b := int64(0); b < batches; b++ {
			var wg sync.WaitGroup
			wg.Add(1000)
			for i := 0; i < 1000; i++ {
				go func() {
					c.Add(1)
					wg.Done()
				}()
			}
			wg.Wait()
		}
		check(c.Load() == batches*1000, "spawn %d", c.Load())
		return batches * 1000
	})

	perOp("spawn_join", func() int64 {
		N := n(300000)
		r := make(chan int64, 1)
		var sum int64
		for i := int64(0); i < N; i++ {
			go func() { r <- i }()
			sum += <-r
		}
		check(sum == N*(N-1)/2, "spawn_join %d", sum)
		return N
	})

	perOp("waitgroup", func() int64 {
		var c atomic.Int64
		rounds := n(20)
		for b := int64(0); b < rounds; b++ {
			var wg sync.WaitGroup
			wg.Add(10000)
			for i := 0; i < 10000; i++ {
				go func() {
					c.Add(1)
					wg.Done()
				}()
			}
			wg.Wait()
		}
		check(c.Load() == rounds*10000, "waitgroup %d", c.Load())
		return rounds * 10000
	})

	perOp("pingpong", func() int64 { N := n(300000); pingpong(N, false); return N })
	cases["pingpong_x"] = func() {
		if procs != 2 {
			os.Exit(77)
		}
		bench(reps, true, []string{"pingpong_x"}, func() []float64 {
			N := n(30000)
			t := time.Now()
			pingpong(N, true)
			return []float64{float64(time.Since(t)) / float64(N)}
		})
	}

	wholeMS("skynet_ms", func() {
		c := make(chan int64)
		go skynet(c, 0, 1000000)
		v := <-c
		check(v == 499999500000, "skynet %d", v)
	})
	wholeMS("fib_ms", func() {
		c := make(chan int64, 1)
		go func() { c <- fib(27) }()
		v := <-c
		check(v == 196418, "fib %d", v)
	})
	wholeMS("fib_ch_ms", func() {
		c := make(chan int64, 1)
		go func() { c <- fibCh(27) }()
		v := <-c
		check(v == 196418, "fib %d", v)
	})
}

func skynet(c chan int64, num, size int64) {
	if size == 1 {
		c <- num
		return
	}
	rc := make(chan int64)
	for i := int64(0); i < 10; i++ {
		go skynet(rc, num+i*(size/10), size/10)
	}
	var sum int64
	for i := 0; i < 10; i++ {
		sum += <-rc
	}
	c <- sum
}

func fib(n int64) int64 {
	if n <= 2 {
		return 1
	}
	var wg sync.WaitGroup
	var a int64
	wg.Add(1)
	go func() {
		a = fib(n - 1)
		wg.Done()
	}()
	b := fib(n - 2)
	wg.Wait()
	return a + b
}

func fibCh(n int64) int64 {
	if n <= 2 {
		return 1
	}
	c := make(chan int64, 1)
	go func() { c <- fibCh(n - 1) }()
	b := fibCh(n - 2)
	return <-c + b
}
