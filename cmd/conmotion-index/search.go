package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/cmd/internal/searching"
	"github.com/conmotion/conmotion/storage/search"
)

// inFile is the source that --db names: an index in a file.
var inFile = searching.Source{
	Flag: "db", Usage: "index to search, made by update",
	Long: `
The answer comes from an index of your own, made by conmotion-index update.
`,
	Example: `  conmotion-index search --db search.db --iss https://provider.example --order desc
  conmotion-index search --db search.db --sub asset/7 --verify --static https://transparency.example`,
	Open: func(ctx context.Context, _ *cli.App, name string) (searching.Searcher, func(), error) {
		x, err := search.Open(ctx, name, search.Options{ReadOnly: true})
		if err != nil {
			return nil, nil, cli.Usage(fmt.Errorf("--db: %w%s", err, rebuildHint(err)))
		}
		return file{x, name}, func() { x.Close() }, nil
	},
}

// file is an index in a file.
type file struct {
	*search.Index
	path string
}

// Search implements [searching.Searcher].
func (f file) Search(ctx context.Context, query url.Values) (*search.Answer, error) {
	q, err := search.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	a, err := f.Index.Search(ctx, q)
	return a, unusable(f.path, err)
}

// Stats implements [searching.Searcher].
func (f file) Stats(ctx context.Context) (*search.Stats, error) {
	s, err := f.Index.Stats(ctx)
	return s, unusable(f.path, err)
}

// unusable says what to do about an index that turns out to be damaged.
func unusable(path string, err error) error {
	if errors.Is(err, search.ErrDamaged) {
		return cli.Usage(fmt.Errorf("--db %s: %w%s", path, search.ErrDamaged, rebuildHint(err)))
	}
	return err
}

// rebuildHint says what to do about an index that is damaged.
func rebuildHint(err error) string {
	if errors.Is(err, search.ErrDamaged) {
		return "; if it was one, conmotion-index update --rebuild makes it anew from the log"
	}
	return ""
}
