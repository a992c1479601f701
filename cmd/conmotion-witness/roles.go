package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/cmd/internal/kms"
	"github.com/conmotion/conmotion/cmd/internal/serving"
	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/cosigner"
	"github.com/conmotion/conmotion/witness/cosigner/store"
	"github.com/conmotion/conmotion/witness/keeper"
)

// roles are the cosigners of a process: the witness, and those whose word says more.
// Each has keys, a name, a database and a guard of its own.
type roles struct {
	f    serveFlags
	ctx  context.Context // of the work that no request waits for
	work sync.WaitGroup
	// signs counts what their keys sign.
	signs *serving.Signatures

	witnesses []*cosigner.Witness
	stores    []*store.Store
	closers   []func() error
}

// open opens a role; "" is the witness itself.
func (r *roles) open(role string) (*cosigner.Witness, error) {
	name := r.f.name
	if role != "" {
		name = r.witnesses[0].Name() + "/" + role
	}
	db, cosigners, err := r.f.open(r.ctx, role, name)
	if err != nil {
		return nil, err
	}
	r.stores = append(r.stores, db)
	for _, c := range cosigners {
		r.count(c)
	}
	w, err := cosigner.New(cosigners, db, time.Now, r.f.server.Logger)
	r.witnesses = append(r.witnesses, w)
	return w, err
}

// count counts what a key signs, under the beginning of its verifier key.
func (r *roles) count(c *scitt.Cosigner) {
	c.Signed = r.signs.Of(fmt.Sprintf("%s+%08x", c.Name(), c.KeyHash()))
}

// companions opens the roles beside the witness. They go on with what they have when
// resume is called.
func (r *roles) companions(w *cosigner.Witness) (all []cosigner.Companion, resume func(), err error) {
	var resumes []func()
	for _, role := range []struct {
		name string
		on   bool
		make func(own *cosigner.Witness) keeper.Companion
	}{
		{"mirror", r.f.mirror != "", func(own *cosigner.Witness) keeper.Companion {
			return keeper.NewMirror(r.ctx, w, own, r.f.mirror, filesOf(0), r.f.server.Logger)
		}},
		{"audited", r.f.audit, func(own *cosigner.Witness) keeper.Companion {
			return keeper.NewJudge(r.ctx, w, own, filepath.Join(r.f.dir, "audited", "logs"), filesOf(-1), r.f.auditWait, r.f.server.Logger)
		}},
	} {
		if !role.on {
			continue
		}
		own, err := r.open(role.name)
		if err != nil {
			return nil, nil, err
		}
		c := role.make(own)
		all, resumes, r.closers = append(all, c), append(resumes, c.Resume), append(r.closers, c.Close)
	}
	return all, func() {
		for _, resume := range resumes {
			resume()
		}
	}, nil
}

// filesOf gives the files at the URL of a log; none where nobody said it. A request is
// repeated so often, as [client.Options] has it: the judge, whose answers are waited for,
// begins anew instead.
func filesOf(retries int) keeper.Files {
	return func(l *cosigner.Log) (tiles.Source, *reader.Reader, error) {
		if l.URL == "" {
			return nil, nil, nil
		}
		o := client.Options{HTTP: cli.HTTPClient(cli.Readers), Retries: retries}
		src, err := tiles.Open(l.URL, o)
		if err != nil {
			return nil, nil, err
		}
		artifacts, err := reader.Open(l.URL, reader.Options{Client: o})
		return src, artifacts, err
	}
}

func (r *roles) setLogs(list cosigner.List) (err error) {
	for _, w := range r.witnesses {
		err = errors.Join(err, w.SetLogs(list))
	}
	return err
}

// ready says why one of them cannot cosign; nil when all can.
func (r *roles) ready() (why error) {
	for i, w := range r.witnesses {
		if err := r.stores[i].Ready(); err != nil {
			why = errors.Join(why, fmt.Errorf("%s: %w", w.Name(), err))
		}
		if halted := w.Halted(); halted != "" {
			why = errors.Join(why, fmt.Errorf("%s: %s", w.Name(), halted))
		}
	}
	return why
}

// close is called when the context has ended.
func (r *roles) close() (err error) {
	r.work.Wait()
	for _, c := range r.closers {
		err = errors.Join(err, c())
	}
	for _, s := range r.stores {
		err = errors.Join(err, s.Close())
	}
	return err
}

// path is where a role has a file: beside that of the witness, which may be given.
func (f *serveFlags) path(given, name, role string) string {
	if given == "" {
		return filepath.Join(f.dir, role, name)
	}
	if role != "" {
		return given + "." + role
	}
	return given
}

// open opens the database of a role, and makes the keys when they are not there. The
// keys are written last, so that a crash in between leaves nothing that was ever used.
func (f *serveFlags) open(ctx context.Context, role, name string) (db *store.Store, cosigners []*scitt.Cosigner, err error) {
	file, guard, dir := f.path(f.keys, "keys", role), f.path(f.guard, "guard", role), filepath.Join(f.dir, role)
	for _, d := range []string{dir, filepath.Dir(file), filepath.Dir(guard)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, nil, err
		}
	}
	serving.WarnShared(f.server.Logger, file)
	text, err := plain.ReadInput(ctx, file, 1<<20)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return nil, nil, err
	}
	if isNew {
		if role == "" && len(f.key) > 0 {
			text, err = elsewhere(name, f.key)
		} else {
			text, err = generate(name)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		c, err := openCosigner(ctx, line)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
		if name != "" && c.Name() != name {
			return nil, nil, fmt.Errorf("%s: the keys are of %s, and the name is to be %s", file, c.Name(), name)
		}
		cosigners = append(cosigners, c)
	}
	if db, err = store.Open(ctx, filepath.Join(dir, "witness.db"), guard, isNew); err != nil {
		return nil, nil, err
	}
	if isNew {
		if err := durable.WriteFile(file, text, 0o600); err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
	}
	return db, cosigners, nil
}

// openCosigner opens what a line of the keys' file has: a private key, or the name of the
// witness and the URI of its key. A key that is elsewhere is asked once for each
// cosignature, since clients ask again, and until the process ends.
func openCosigner(ctx context.Context, line string) (*scitt.Cosigner, error) {
	name, uri, ok := strings.Cut(line, " ")
	if !ok {
		return scitt.ParseCosignerKey(line)
	}
	key, err := keys.Options{Openers: kms.Openers()}.Open(context.WithoutCancel(ctx), uri)
	if err != nil {
		return nil, err
	}
	return scitt.NewCosigner(name, key)
}

// elsewhere is the keys' file of a witness whose keys are somewhere else.
func elsewhere(name string, uris []string) ([]byte, error) {
	if name == "" {
		return nil, cli.Usage(errors.New("--key needs --name"))
	}
	text := fmt.Appendf(nil, "# The keys of the witness %s.\n", name)
	for _, uri := range uris {
		text = fmt.Appendf(text, "%s %s\n", name, uri)
	}
	return text, nil
}

func generate(name string) ([]byte, error) {
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("--name is needed, since the machine has none: %w", err)
		}
		name = host + "/witness-" + strings.ToLower(rand.Text()[:8])
	}
	ed, pq, err := scitt.GenerateCosignerKeys(name)
	if err != nil {
		return nil, fmt.Errorf("--name: %w", err)
	}
	return fmt.Appendf(nil, "# The keys of the witness %s. Who has them can sign as it.\n%s\n%s\n", name, ed, pq), nil
}
