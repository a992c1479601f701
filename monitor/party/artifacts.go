package party

import (
	"cmp"
	"errors"
	"io/fs"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

// OpenArtifacts opens the content of hash envelopes: where the options say, or
// else beside the log at a location, and then it is nil when there is none.
func (o Options) OpenArtifacts(location string) (*reader.Reader, error) {
	place := cmp.Or(o.Artifacts, location)
	how := reader.Options{Client: o.Client, Limits: o.Limits}
	var err error
	if IsURL(place) {
		if how.Token, err = o.token(place); err != nil {
			return nil, err
		}
	}
	r, err := reader.Open(place, how)
	if o.Artifacts == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return r, err
}

// monitor is the log in a view as package monitor reads it.
func (l *Log) monitor(view *tiles.View) monitor.Log {
	if l.Artifacts == nil {
		return monitor.NewLog(view, nil, l.verify)
	}
	return monitor.NewLog(view, l.Artifacts, l.verify)
}
