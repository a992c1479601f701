package conformance

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/conmotion/conmotion/internal/durable"
)

// runs is how often the logs of a directory can be used.
const runs = 20

// listFile is where the logs of a directory are listed, in the format of the witness
// network (transparency-dev/witness-network, log-list-format.md).
func listFile(dir string) string { return filepath.Join(dir, "logs.txt") }

// OpenLogs returns logs for one run, of those that a directory keeps. Each is given
// out once: a crash in between loses them for the next run. The first time it makes
// them, and the error says so: listFile goes to the witness.
func OpenLogs(dir string) (logs []*Log, err error) {
	seedFile, usedFile := filepath.Join(dir, "seed"), filepath.Join(dir, "used")
	seed, err := durable.ReadFile(seedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, makeLogs(dir, seedFile)
	}
	if err != nil {
		return nil, err
	}
	used := 0
	if text, err := durable.ReadFile(usedFile); err == nil {
		if used, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
			return nil, fmt.Errorf("%s: %w", usedFile, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if used < 0 || used >= runs {
		return nil, fmt.Errorf("%s: the logs were all used, and a check needs logs of which nothing was cosigned; take another directory", dir)
	}
	if err := durable.WriteFile(usedFile, fmt.Appendln(nil, used+1), 0o600); err != nil {
		return nil, err
	}
	return logsOf(seed, used)
}

// logsOf are the logs of a run.
func logsOf(seed []byte, run int) (logs []*Log, err error) {
	for i := range LogsNeeded {
		l, err := NewLog(fmt.Sprintf("witness-check.invalid/%s/%d/%d", strings.ToLower(string(seed[:8])), run, i), seed)
		if err != nil {
			return nil, err
		}
		logs = append(logs, l)
	}
	return logs, nil
}

// makeLogs writes the list, and then the seed that makes it count.
func makeLogs(dir, seedFile string) error {
	seed := []byte(rand.Text())
	list := []byte("logs/v0\n")
	for run := range runs {
		logs, err := logsOf(seed, run)
		if err != nil {
			return err
		}
		for _, l := range logs {
			list = fmt.Appendf(list, "\nvkey %s\nqpd 1000000\ncontact conmotion witness-check\n", l.VKey)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := durable.WriteFile(listFile(dir), list, 0o644); err != nil {
		return err
	}
	if err := durable.WriteFile(seedFile, seed, 0o600); err != nil {
		return err
	}
	return fmt.Errorf("logs were made for the check: give the witness the list %s, and check again", listFile(dir))
}
