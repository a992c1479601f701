package party

import (
	"context"

	"github.com/conmotion/conmotion/monitor"
)

// HasAsset reports whether an asset is in the inventory that the records in the log amount to,
// by any name that they give it. sure is false where records that could not be read may say
// otherwise, and where several assets have the name.
func (l *Log) HasAsset(ctx context.Context, uid string) (has, sure bool, err error) {
	r, log := monitor.NewReplay(monitor.Filter{}, nil), l.Monitor()
	if err := r.Advance(ctx, log, log.Checkpoint.Size); err != nil {
		return false, false, err
	}
	name, err := r.Identify(uid)
	if err != nil {
		return true, false, nil // it is a name of several
	}
	_, has = r.Asset(name)
	anomalies, more := r.Anomalies()
	return has, !monitor.CountUnread(anomalies).Any() && more == 0, nil
}
