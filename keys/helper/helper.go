// Package helper has a key in another program, conmotion-signer, so that a program
// that opens keys links no SDK of a cloud and no C library.
//
// The two speak over standard input and output of the signer, a JSON object a line,
// one answer to one request, in this order:
//
//	{"open":"pkcs11:token=..."}             {"public":"<SubjectPublicKeyInfo>"}
//	{"sign":"<digest>","hash":"SHA-256"}    {"signature":"<signature>"}
//	                                        {"error":"...","final":true}
//
// Bytes are base64. Without a hash the message itself is signed. A refused request is
// answered with an error; final means that trying again is useless. The signer ends
// when its input does.
package helper

import (
	"bufio"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/conmotion/conmotion/keys"
)

// Program is the name of the signer.
const Program = "conmotion-signer"

// maxLine bounds a line in bytes: a message to sign and its base64.
const maxLine = 4 << 20

type request struct {
	Open string `json:"open,omitempty"`
	Sign []byte `json:"sign,omitempty"`
	Hash string `json:"hash,omitempty"`
}

type answer struct {
	Public    []byte `json:"public,omitempty"`
	Signature []byte `json:"signature,omitempty"`
	Error     string `json:"error,omitempty"`
	Final     bool   `json:"final,omitempty"`
}

func (a *answer) err() error {
	switch {
	case a.Error == "":
		return nil
	case a.Final:
		return fmt.Errorf("%s: %s; %w", Program, a.Error, keys.ErrFinal)
	}
	return fmt.Errorf("%s: %s", Program, a.Error)
}

// lines reads JSON objects, each of which is a line.
func lines(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	return s
}

func writeLine(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		_, err = w.Write(append(data, '\n'))
	}
	return err
}

// hashes are those of ECDSA.
var hashes = map[string]crypto.Hash{"": 0, crypto.SHA256.String(): crypto.SHA256, crypto.SHA384.String(): crypto.SHA384, crypto.SHA512.String(): crypto.SHA512}

// Serve answers requests until the input ends: the first opens the key.
func Serve(ctx context.Context, in io.Reader, out io.Writer, openers map[string]keys.Opener, timeout time.Duration) error {
	var remote keys.Remote
	input := lines(in)
	for input.Scan() {
		var q request
		var a answer
		err := json.Unmarshal(input.Bytes(), &q)
		if err != nil {
			err = fmt.Errorf("the request is not one; %w", keys.ErrFinal)
		} else {
			call, cancel := context.WithTimeout(ctx, timeout)
			err = serve(ctx, call, &remote, openers, q, &a)
			cancel()
		}
		if err != nil {
			a = answer{Error: err.Error(), Final: errors.Is(err, keys.ErrFinal)}
		}
		if err := writeLine(out, a); err != nil {
			return err
		}
	}
	return input.Err()
}

func serve(ctx, call context.Context, remote *keys.Remote, openers map[string]keys.Opener, q request, a *answer) (err error) {
	hash, known := hashes[q.Hash]
	switch {
	case q.Open != "" && *remote == nil:
		open := openers[keys.Scheme(q.Open)]
		if open == nil {
			return fmt.Errorf("it opens no key with the scheme %q; %w", keys.Scheme(q.Open), keys.ErrFinal)
		}
		opened, err := open(ctx, q.Open)
		if err != nil {
			return err
		}
		public, err := opened.Public(call)
		if err != nil {
			return err
		}
		if a.Public, err = keys.MarshalSPKI(public); err == nil {
			*remote = opened
		}
		return err
	case q.Open != "" || *remote == nil || !known:
		return fmt.Errorf("the first request opens a key, and the others sign; %w", keys.ErrFinal)
	}
	a.Signature, err = (*remote).Sign(call, q.Sign, hash)
	return err
}
