package cli

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/keys"
)

// KeyHelp is for flags that name a private key.
const KeyHelp = "file with the private key, from keygen, or the URI of one in a KMS or an HSM (docs/keys.md)"

// signPatience is how long a person waits for a KMS that is busy.
const signPatience = 30 * time.Second

// OpenKey opens the private key that a flag names, and warns when others may read its
// file. The passphrase of an encrypted one is asked for at a terminal.
func (a *App) OpenKey(ctx context.Context, flag, uri string, openers map[string]keys.Opener) (crypto.Signer, error) {
	if path, _, err := keys.File(uri); err == nil && keys.Scheme(uri) == "file" {
		if info, err := os.Stat(path); err == nil && plain.Shared(info) {
			a.Notice("warning: --%s: others may read the private key in %s (mode %04o); chmod 600 it", flag, path, info.Mode().Perm())
		}
	}
	key, err := keys.Options{Openers: openers, Prompt: a.prompt(ctx), Patience: signPatience}.Open(ctx, uri)
	if err != nil {
		return nil, Usage(fmt.Errorf("--%s %s: %w", flag, keys.Shown(uri), err))
	}
	return key, nil
}

// prompt asks for passphrases where a person is; it is nil elsewhere.
func (a *App) prompt(ctx context.Context) func(file string) ([]byte, error) {
	in, ok := a.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	return func(file string) ([]byte, error) {
		fmt.Fprintf(a.Stderr, "passphrase of %s: ", file)
		defer fmt.Fprintln(a.Stderr)
		before, err := term.GetState(int(in.Fd()))
		if err != nil {
			return nil, err
		}
		data, err := plain.Wait(ctx, func() ([]byte, error) { return term.ReadPassword(int(in.Fd())) })
		if ctx.Err() != nil { // what is typed from now on is shown
			err = errors.Join(err, term.Restore(int(in.Fd()), before))
		}
		return data, err
	}
}

// NewPassphrase is the passphrase of a key that is to be encrypted: from a file, the
// environment, or a person, who types it twice.
func (a *App) NewPassphrase(ctx context.Context, file, key string) ([]byte, error) {
	if file != "" {
		return keys.ReadPassphrase(ctx, file)
	}
	if p := os.Getenv(keys.PassphraseVariable); p != "" {
		return []byte(p), nil
	}
	ask := a.prompt(ctx)
	if ask == nil {
		return nil, fmt.Errorf("--encrypt: give the passphrase in %s or with --passphrase-file", keys.PassphraseVariable)
	}
	first, err := ask(key)
	if err != nil {
		return nil, err
	}
	again, err := ask(key + ", again")
	switch {
	case err != nil:
		return nil, err
	case len(first) == 0 || string(first) != string(again):
		return nil, errors.New("the passphrases differ, or are empty")
	}
	return first, nil
}
