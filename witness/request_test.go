package witness_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/witness"
)

const requestHash = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw="

// What the requests are refused for is in package conformance, whose rules our own
// witness keeps; here is what a server cannot show.
func TestRequests(t *testing.T) {
	note := []byte("example.com/log\n7\nAAAA\n\n— x y\n")
	hash := bytes.Repeat([]byte{3}, 32)
	add := &witness.AddCheckpoint{Old: 18446744073709551615, Proof: [][]byte{hash, make([]byte, 32)}, Checkpoint: note}
	if got, err := witness.ParseAddCheckpoint(add.Marshal()); err != nil || !reflect.DeepEqual(got, add) {
		t.Errorf("%+v, %v", got, err)
	}
	none := &witness.AddCheckpoint{Checkpoint: note}
	if got, err := witness.ParseAddCheckpoint(none.Marshal()); err != nil || !reflect.DeepEqual(got, none) {
		t.Errorf("%+v, %v", got, err)
	}
	sub := &witness.SignSubtree{Start: 8, End: 13, Hash: hash, Proof: [][]byte{hash}, Checkpoint: note}
	if got, err := witness.ParseSignSubtree(sub.Marshal()); err != nil || !reflect.DeepEqual(got, sub) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{
		"subtree 8 13\n\n" + string(note), "subtree 8\n" + requestHash + "\n\n", "subtree 8 13 \n" + requestHash + "\n\n",
		"subtree  8 13\n" + requestHash + "\n\n", "old 8 13\n" + requestHash + "\n\n", "subtree 8 13\nAAAA\n\n", "subtree 8 13\n" + requestHash,
		"subtree 8 13\n" + requestHash + "\n" + strings.Repeat(requestHash+"\n", 64) + "\n" + string(note),
	} {
		if _, err := witness.ParseSignSubtree([]byte(bad)); !errors.Is(err, witness.ErrRequest) {
			t.Errorf("%.60q: %v", bad, err)
		}
	}
	for _, size := range []string{"0", "1", "18446744073709551615"} {
		if _, err := witness.ParseSize(size); err != nil {
			t.Errorf("%q: %v", size, err)
		}
	}
}

func FuzzAddCheckpoint(f *testing.F) {
	f.Add([]byte("old 8\n" + requestHash + "\n\nexample.com/log\n"))
	f.Add([]byte("old 0\n\nexample.com/log\n9\n" + requestHash + "\n\n— x y\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := witness.ParseAddCheckpoint(body); err == nil && !bytes.Equal(r.Marshal(), body) {
			t.Errorf("%q is read as %q", body, r.Marshal())
		}
	})
}

func FuzzSignSubtree(f *testing.F) {
	f.Add([]byte("subtree 8 13\n" + requestHash + "\n" + requestHash + "\n\nexample.com/log\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := witness.ParseSignSubtree(body); err == nil && !bytes.Equal(r.Marshal(), body) {
			t.Errorf("%q is read as %q", body, r.Marshal())
		}
	})
}
