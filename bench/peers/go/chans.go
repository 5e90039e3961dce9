// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

func stream(N int64, size int) {
	c := make(chan int64, size)
	res := make(chan [2]int64)
	go func() {
		for i := int64(0); i < N; i++ {
			c <- i
		}
		close(c)
	}()
	go func() {
		var cnt, sum int64
		for v := range c {
			cnt++
			sum += v
		}
		res <- [2]int64{cnt, sum}
	}()
	r := <-res
	check(r[0] == N && r[1] == N*(N-1)/2, "stream %v", r)
}

func mpmc(each int64) {
	c := make(chan int64, 128)
	var pw, cw sync.WaitGroup
	var cnt, sum atomic.Int64
	for p := int64(0); p < 8; p++ {
		pw.Add(1)
		go func() {
			for i := int64(0); i < each; i++ {
				c <- p*each + i
			}
			pw.Done()
		}()
		cw.Add(1)
		go func() {
			var lc, ls int64
			for v := range c {
				lc++
				ls += v
			}
			cnt.Add(lc)
			sum.Add(ls)
			cw.Done()
		}()
	}
	pw.Wait()
	close(c)
	cw.Wait()
	N := 8 * each
	check(cnt.Load() == N && sum.Load() == N*(N-1)/2, "mpmc %d %d", cnt.Load(), sum.Load())
}

func select4(each int64, size int) {
	var c [4]chan int64
	for i := range c {
		c[i] = make(chan int64, size)
		go func(ch chan int64) {
			for j := int64(0); j < each; j++ {
				ch <- j
			}
		}(c[i])
	}
	res := make(chan bool)
	go func() {
		var cnt, sum [4]int64
		c0, c1, c2, c3 := c[0], c[1], c[2], c[3]
		for i := int64(0); i < 4*each; i++ {
			select {
			case v := <-c0:
				cnt[0]++
				sum[0] += v
			case v := <-c1:
				cnt[1]++
				sum[1] += v
			case v := <-c2:
				cnt[2]++
				sum[2] += v
			case v := <-c3:
				cnt[3]++
				sum[3] += v
			}
		}
		ok := true
		for i := range cnt {
			ok = ok && cnt[i] == each && sum[i] == each*(each-1)/2
		}
		res <- ok
	}()
	check(<-res, "select4")
}

func ring() float64 {
	const size = 503
	hops := n(500000)
	var c [size]chan int64
	for i := range c {
		c[i] = make(chan int64)
	}
	res := make(chan int64)
	var wg sync.WaitGroup
	for i := 0; i < size; i++ {
		wg.Add(1)
		go func() {
			in, out := c[i], c[(i+1)%size]
			for v := range in {
				if v == 0 {
					res <- int64(i)
				} else {
					out <- v - 1
				}
			}
			wg.Done()
		}()
	}
	time.Sleep(time.Millisecond)
	t := time.Now()
	c[0] <- hops
	who := <-res
	d := time.Since(t)
	check(who == hops%size, "ring %d", who)
	for i := range c {
		close(c[i])
	}
	wg.Wait()
	return float64(d) / float64(hops)
}

func sieve() {
	ch := make(chan int64)
	go func(c chan int64) {
		for i := int64(2); ; i++ {
			c <- i
		}
	}(ch)
	var prime int64
	for i := 0; i < 2000; i++ {
		prime = <-ch
		next := make(chan int64)
		go func(in, out chan int64, p int64) {
			for {
				v := <-in
				if v%p != 0 {
					out <- v
				}
			}
		}(ch, next, prime)
		ch = next
	}
	check(prime == 17389, "sieve %d", prime)
}

func wake() float64 {
	const waiters = 10000
	var spent time.Duration
	rounds := 5
	for r := 0; r < rounds; r++ {
		gate := make(chan int64)
		var parked, woken atomic.Int64
		var wg sync.WaitGroup
		wg.Add(waiters)
		for i := 0; i < waiters; i++ {
			go func() {
				parked.Add(1)
				<-gate
				woken.Add(1)
				wg.Done()
			}()
		}
		waitCount(&parked, waiters)
		time.Sleep(10 * time.Millisecond)
		t := time.Now()
		close(gate)
		wg.Wait()
		spent += time.Since(t)
		check(woken.Load() == waiters, "wake %d", woken.Load())
	}
	return float64(spent) / float64(waiters*rounds)
}

func mutexes(tasks, each int64) int64 {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var c int64
	for i := int64(0); i < tasks; i++ {
		wg.Add(1)
		go func() {
			for j := int64(0); j < each; j++ {
				mu.Lock()
				c++
				mu.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	check(c == tasks*each, "mutex %d", c)
	return c
}

func rwmutex() int64 {
	var mu sync.RWMutex
	var wg sync.WaitGroup
	var a, b int64
	reads, writes := n(60000), n(9600)
	var bad atomic.Int64
	for i := 0; i < 16; i++ {
		wg.Add(1)
		go func() {
			var off int64
			for j := int64(1); j <= reads; j++ {
				mu.RLock()
				if a != b {
					off++
				}
				mu.RUnlock()
				if j%100 == 0 {
					runtime.Gosched()
				}
			}
			bad.Add(off)
			wg.Done()
		}()
	}
	wg.Add(1)
	go func() {
		for j := int64(0); j < writes; j++ {
			mu.Lock()
			a++
			b++
			mu.Unlock()
			runtime.Gosched()
		}
		wg.Done()
	}()
	wg.Wait()
	check(bad.Load() == 0 && a == writes && b == writes, "rwmutex %d %d %d", bad.Load(), a, b)
	return 16*reads + writes
}

func init() {
	perOp("stream0", func() int64 { N := n(500000); stream(N, 0); return N })
	perOp("stream128", func() int64 { N := n(2000000); stream(N, 128); return N })
	perOp("mpmc", func() int64 { e := n(100000); mpmc(e); return 8 * e })
	perOp("select4", func() int64 { e := n(125000); select4(e, 0); return 4 * e })
	perOp("select4_128", func() int64 { e := n(250000); select4(e, 128); return 4 * e })
	perOpTimed("ring503", ring)
	wholeMS("sieve_ms", sieve)
	perOpTimed("wake", wake)
	perOp("mutex1", func() int64 { return mutexes(1, n(10000000)) })
	perOp("mutex16", func() int64 { return mutexes(16, n(100000)) })
	perOp("rwmutex", rwmutex)
}
