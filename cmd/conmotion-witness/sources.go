package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/witness/cosigner"
)

const (
	// lookInterval is how often files are looked at.
	lookInterval = time.Second
	// maxList bounds a list in bytes: a network may have tens of thousands of logs.
	maxList = 64 << 20
)

// sources are where the logs that are cosigned are said. What is said first wins: a
// list that somebody else keeps does not change a log that the operator added.
type sources struct {
	own    string   // what "log add" writes; it may be missing
	files  []string // own, --logs, and the copies of --log-list, in this order
	copies map[string]string
	http   *http.Client
	every  time.Duration
	logger *slog.Logger
	set    func(cosigner.List) error

	changed map[string]time.Time // when the files that were read last were written
	read    map[string]cosigner.List
}

func newSources(f serveFlags, set func(cosigner.List) error) *sources {
	s := &sources{
		own: ownLogs(f.dir), copies: map[string]string{}, http: cli.HTTPClient(1), every: f.interval,
		logger: f.server.Logger, set: set, changed: map[string]time.Time{}, read: map[string]cosigner.List{},
	}
	s.files = append([]string{s.own}, f.logs...)
	for _, url := range f.lists {
		s.copies[url] = filepath.Join(f.dir, "lists", fmt.Sprintf("%x", sha256.Sum256([]byte(url))))
		s.files = append(s.files, s.copies[url])
	}
	return s
}

// ownLogs is the file of the logs that were added to a witness.
func ownLogs(dir string) string { return filepath.Join(dir, "logs") }

// start reads all files. One that --logs names must be there and be good.
func (s *sources) start() error {
	for _, file := range s.files {
		if err := s.readFile(file); err != nil && (!errors.Is(err, fs.ErrNotExist) || file != s.own && !s.isCopy(file)) {
			return cli.Usage(fmt.Errorf("%s: %w", file, err))
		}
	}
	s.merge()
	return nil
}

func (s *sources) isCopy(file string) bool {
	for _, copy := range s.copies {
		if copy == file {
			return true
		}
	}
	return false
}

// follow reads files again that change, and fetches lists, until the context ends.
// What cannot be read leaves what was read before.
func (s *sources) follow(ctx context.Context) {
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	var fetched time.Time
	for {
		if time.Since(fetched) >= s.every {
			fetched = time.Now()
			for url, file := range s.copies {
				if err := s.fetch(ctx, url, file); err != nil && ctx.Err() == nil {
					s.logger.Warn("a list of logs could not be fetched; the last copy goes on", "list", url, "err", err)
				}
			}
		}
		again := false
		for _, file := range s.files {
			if info, err := os.Stat(file); err == nil && info.ModTime().Equal(s.changed[file]) || errors.Is(err, fs.ErrNotExist) && s.read[file] == nil {
				continue
			}
			if err := s.readFile(file); err != nil {
				s.logger.Warn("a list of logs could not be read; what was read before goes on", "file", file, "err", err)
				continue
			}
			again = true
		}
		if again {
			s.merge()
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

func (s *sources) readFile(file string) error {
	r, _, err := plain.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return err
	}
	s.changed[file] = info.ModTime() // bad or not: it is said once
	list, err := s.parse(r, file)
	if err != nil {
		return err
	}
	s.read[file] = list
	return nil
}

func (s *sources) parse(r io.Reader, from string) (cosigner.List, error) {
	return cosigner.ParseList(r, func(err error) error {
		s.logger.Warn("a log cannot be cosigned and is left out", "list", from, "err", err)
		return nil
	})
}

// merge tells the witness its logs.
func (s *sources) merge() {
	all := cosigner.List{}
	for _, file := range slices.Backward(s.files) {
		for origin, l := range s.read[file] {
			if !s.isCopy(file) && strings.Contains(l.Contact, "://") {
				l.URL = l.Contact // the operator knows where it is
			}
			all[origin] = l
		}
	}
	if err := s.set(all); err != nil {
		s.logger.Warn("logs are left out", "err", err)
	}
	s.logger.Info("logs that are cosigned", "logs", len(all))
}

// fetch copies a list that is one. A crash leaves the last copy or the new one.
func (s *sources) fetch(ctx context.Context, url, file string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // files that change wait meanwhile
	defer cancel()
	list, err := client.New(url, client.Options{HTTP: s.http, Retries: 3})
	if err != nil {
		return err
	}
	data, err := list.File(ctx, "", maxList)
	if err != nil {
		return err
	}
	if _, err := cosigner.ParseList(bytes.NewReader(data), func(error) error { return nil }); err != nil {
		return err
	}
	_, err = durable.Replace(file, data, 0o600)
	return err
}
