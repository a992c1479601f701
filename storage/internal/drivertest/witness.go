package drivertest

import (
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwitness"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/witness"
	"github.com/conmotion/conmotion/witness/ask"
)

// witnessed: the bucket never shows a checkpoint without the quorum of witnesses, and no
// Receipt is without it, whatever one of them does; without a quorum nothing is public.
func witnessed(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t)
	var all []*testwitness.Witness
	for i := range 3 {
		all = append(all, testwitness.Start(t, fmt.Sprintf("w%d.example", i), s.keys.VKeys[0]))
	}
	policy := testlog.Must(witness.ParsePolicy([]byte(testwitness.Policy(2, all...))))(t)
	s.change = func(o *storage.Options) {
		o.Witnesses = testlog.Must(ask.New(policy, s.keys.VKeys[0], ask.Options{Timeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)}))(t)
	}
	receipts := map[string][]byte{}
	public := func() *witness.Cosigned {
		t.Helper()
		c := testlog.Must(policy.Open(s.checker().Check(t, receipts).Checkpoint.Raw))(t)
		if err := c.Quorum(); err != nil {
			t.Errorf("the bucket shows size %d: %v", c.Size, err)
		}
		return c
	}
	fails := func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) }
	s.Open()
	s.addMany(20, "all three", receipts)
	all[2].Fail(fails)
	s.addMany(20, "two", receipts)
	before := public()
	all[1].Fail(fails)
	added := make(chan map[string][]byte)
	go func() {
		late := map[string][]byte{}
		s.addMany(1, "one", late)
		added <- late
	}()
	select {
	case <-added:
		t.Error("a Receipt without a quorum")
	case <-time.After(3 * time.Second): // more than the timeout
	}
	if got := public(); got.Size != before.Size {
		t.Errorf("size %d is public, and %d was before", got.Size, before.Size)
	}
	all[1].Fail(nil)
	for statement, receipt := range <-added {
		receipts[statement] = receipt
	}
	s.Close()
	s.Open()
	s.addMany(1, "a restart", receipts)
	public()
	for statement, receipt := range receipts {
		st := testlog.Must(scitt.ParseStatement([]byte(statement)))(t)
		c := testlog.Must(policy.OpenReceipt(testlog.Must(scitt.ParseReceipt(receipt))(t), st.Entry()))(t)
		if err := c.Quorum(); err != nil {
			t.Errorf("the Receipt of a tree of size %d: %v", c.Size, err)
		}
	}
}
