package cosigner_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness/cosigner"
)

func vkey(t testing.TB, name string) string {
	t.Helper()
	_, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	return vkey
}

func never(t testing.TB) func(error) error {
	return func(err error) error {
		t.Errorf("left out: %v", err)
		return nil
	}
}

func TestList(t *testing.T) {
	a, b, c := vkey(t, "log.example/a"), vkey(t, "log.example/b"), vkey(t, "log.example/a")
	ed, pq, err := scitt.GenerateCosignerKeys("log.example/pq")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, skey := range []string{ed, pq} {
		s, err := scitt.ParseCosignerKey(skey)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, s.String())
	}
	receipt, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := scitt.TreeVKey("log.example/a", receipt.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := "# a list\n\n  logs/v0\n" +
		"vkey " + a + "\nqpd 86400\ncontact https://log.example/ or by post\n" +
		"# another\nvkey " + b + "\norigin a name with spaces\nqpd 24\n\ncontact somebody\n" +
		"vkey " + c + "\nqpd 7\ncontact new\n" +
		"vkey " + tree + "\nqpd 8\ncontact receipts\n" +
		"vkey " + keys[0] + "\nqpd 1\ncontact c\nvkey " + keys[1] + "\nqpd 1\ncontact c\n"
	list, err := cosigner.ParseList(strings.NewReader(text), never(t))
	if err != nil {
		t.Fatal(err)
	}
	if l := list["log.example/a"]; l == nil || len(l.VKeys) != 3 || l.PerDay != 8 || l.Contact != "receipts" {
		t.Errorf("a log with three keys is read as %+v", l)
	}
	if l := list["a name with spaces"]; l == nil || l.VKeys[0] != b || l.PerDay != 24 || l.Contact != "somebody" {
		t.Errorf("a log with an origin is read as %+v", l)
	}
	if l := list["log.example/pq"]; len(list) != 3 || l == nil || len(l.VKeys) != 2 {
		t.Errorf("%d logs, %+v", len(list), l)
	}
	again, err := cosigner.ParseList(bytes.NewReader(list.Marshal()), never(t))
	if err != nil || !bytes.Equal(again.Marshal(), list.Marshal()) {
		t.Errorf("what is written is read as another list: %v\n%s\n%s", err, list.Marshal(), again.Marshal())
	}
}

func TestListRefusals(t *testing.T) {
	key := vkey(t, "log.example/a")
	item := "vkey " + key + "\nqpd 1\ncontact c\n"
	for _, bad := range []string{
		"", "# nothing\n", "logs/v1\n" + item, item, "logs/v0\nlogs/v0\n", "logs/v0\nqpd 1\n" + item,
		"logs/v0\nvkey " + key + "\ncontact c\nqpd 1\n", "logs/v0\nvkey " + key + "\nqpd 1\n", "logs/v0\nvkey " + key + "\n",
		"logs/v0\nvkey " + key + "\nqpd 01\ncontact c\n", "logs/v0\nvkey " + key + "\nqpd 0\ncontact c\n", "logs/v0\nvkey " + key + "\nqpd 2147483648\ncontact c\n",
		"logs/v0\nvkey " + key + "\nqpd 1\norigin o\ncontact c\n", "logs/v0\nvkey " + key + "\nqpd 1\ncontact\n",
		"logs/v0\n" + item + "more than that\n", "logs/v0\n# " + strings.Repeat("x", 1<<16) + "\n" + item,
		"logs/v0\n" + item + "vkey " + key + "\nqpd 1\n",
	} {
		if _, err := cosigner.ParseList(strings.NewReader(bad), never(t)); !errors.Is(err, cosigner.ErrLog) {
			t.Errorf("%.200q: %v", bad, err)
		}
	}
	// An item that cannot be used is left out, and the others are read.
	for _, odd := range []string{"vkey log.example/b+00000000+AAAA\nqpd 1\ncontact c\n", "vkey none\nqpd 1\ncontact c\n", item, "vkey " + vkey(t, "b") + "\norigin a\tb\nqpd 1\ncontact c\n"} {
		left := 0
		list, err := cosigner.ParseList(strings.NewReader("logs/v0\n"+item+odd), func(err error) error {
			left++
			if !errors.Is(err, cosigner.ErrLog) {
				t.Error(err)
			}
			return nil
		})
		if err != nil || len(list) != 1 || left != 1 {
			t.Errorf("%q: %d logs, %d left out, %v", odd, len(list), left, err)
		}
	}
}

func FuzzList(f *testing.F) {
	f.Add("logs/v0\nvkey " + vkey(f, "log.example/a") + "\norigin o\nqpd 1\ncontact c\n")
	f.Add("logs/v0\n#\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := cosigner.ParseList(strings.NewReader(text), func(error) error { return nil })
		if err != nil {
			return
		}
		again, err := cosigner.ParseList(bytes.NewReader(list.Marshal()), never(t))
		if err != nil || !bytes.Equal(again.Marshal(), list.Marshal()) {
			t.Errorf("%q is written as %q, which is read as %q, %v", text, list.Marshal(), again.Marshal(), err)
		}
	})
}
