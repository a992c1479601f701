package watch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// TestCopies: what an operator puts into a log again is told as that, over
// restarts, and neither renews, nor brings back, nor hides anything.
func TestCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, anna := w.log("log.example"), newIssuer(t)
		config := fmt.Sprintf(`
logs:
  - name: log
    location: http://log.example
    records: [{name: all, types: [record], issuers: [%q]}]
    expected: [{name: daily, types: [record], issuers: [%q], every: 24h}]
    endorsements: [{name: e, by: [%q], before: 2d}]
`, anna.did, anna.did, anna.did)
		entry := func(statement []byte) []byte { return testlog.Must(scitt.ParseStatement(statement))(t).Entry() }
		put := func(entries ...[]byte) {
			s.entries = append(s.entries, entries...)
			s.publish()
		}
		w.once(config)
		day := 24 * time.Hour
		record := entry(anna.record(monitor.Create, "i-1"))
		// A garbage copy does not hide the record behind it, nor its alert.
		put(testlog.Garbage(record), record)
		_, alerts := w.once(config, "log record event", "log signature event", "log record event")
		ids := []string{}
		for _, a := range alerts {
			ids = append(ids, a.ID)
		}
		if slices.Sort(ids); len(slices.Compact(ids)) != 3 {
			t.Errorf("%q", ids)
		}
		// A copy is no new record, and ends no silence.
		time.Sleep(2 * day)
		put(testlog.Twin(t, record))
		w.once(config, "log duplicate event", "log duplicate event", "log expected fired")

		// A withdrawn endorsement does not hold again for a copy.
		endorse := entry(anna.endorse(monitor.Endorse, s.ref(3), time.Now(), time.Now().Add(day), "x"))
		put(endorse)
		self := s.ref(len(s.entries) - 1)
		w.once(config, "log endorsement_expiring fired")
		put(entry(anna.endorse(monitor.Withdraw, self, time.Now(), time.Time{})))
		w.once(config, "log endorsement_expiring resolved")
		put(testlog.Twin(t, endorse), endorse)
		_, alerts = w.once(config, "log duplicate event", "log duplicate event")
		if !strings.Contains(alerts[0].Message, fmt.Sprintf("entry %d has the same content", self.Index)) {
			t.Errorf("%+v", alerts[0])
		}
		// One that a stranger carried here counts only in its home.
		e := &monitor.Endorsement{Entry: s.ref(3), Home: "other.example", Verdict: monitor.Endorse, Scope: []string{"x"},
			From: time.Now().UTC().Truncate(time.Second), Until: time.Now().UTC().Add(day).Truncate(time.Second)}
		put(entry(testlog.Must(testlog.SignAs(anna.key, e, scitt.SignOptions{IssuedAt: time.Now()}))(t)))
		w.once(config, "log as_of_log event")
		w.once(config)
	})
}
