// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const mostPages = 5000

// A page as the other server answers it.
type page struct {
	status int
	header http.Header
	length []string
	body   []byte
}

var link = regexp.MustCompile(`(?:href|src)="(/[^"#]*)`)

func fetch(origin, path string) (*page, error) {
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Get(origin + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	header := answer.Header.Clone()
	for _, own := range []string{"Date", "Content-Length", "Connection"} {
		header.Del(own)
	}
	return &page{answer.StatusCode, header, []string{strconv.Itoa(len(body))}, body}, nil
}

// copyPages follows the links from the first page.
func copyPages(origin string) map[string]*page {
	pages := map[string]*page{}
	todo := []string{"/"}
	for len(todo) > 0 && len(pages) < mostPages {
		path := todo[0]
		todo = todo[1:]
		if pages[path] != nil {
			continue
		}
		p, err := fetch(origin, path)
		if err != nil {
			fail(err)
		}
		pages[path] = p
		if !strings.HasPrefix(p.header.Get("Content-Type"), "text/html") {
			continue
		}
		for _, found := range link.FindAllStringSubmatch(string(p.body), -1) {
			to := strings.ReplaceAll(found[1], "&amp;", "&")
			if pages[to] == nil {
				todo = append(todo, to)
			}
		}
	}
	return pages
}

type site struct {
	pages   map[string]*page
	missing *page
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := s.pages[r.RequestURI]
	if p == nil {
		p = s.missing
	}
	header := w.Header()
	for name, values := range p.header {
		header[name] = values
	}
	if tag := p.header.Get("Etag"); tag != "" && strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header["Content-Length"] = p.length
	if p.status != http.StatusOK {
		w.WriteHeader(p.status)
	}
	if r.Method != http.MethodHead {
		w.Write(p.body)
	}
}

func serve(origin string) {
	s := &site{pages: copyPages(origin)}
	missing, err := fetch(origin, "/no-such-page")
	if err != nil {
		fail(err)
	}
	s.missing = missing
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		WriteTimeout:      30 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	fmt.Fprintf(os.Stderr, "weftdoc-peer: serving http://%s/ (%d pages)\n", listener.Addr(), len(s.pages))
	go server.Serve(listener)
	ending := make(chan os.Signal, 1)
	signal.Notify(ending, syscall.SIGINT, syscall.SIGTERM)
	<-ending
	server.Close()
}
