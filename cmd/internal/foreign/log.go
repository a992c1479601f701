package foreign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// Service gives the URL of the Transparency Service whose log is in src, which
// is at location. It is what the log says of itself, or the log's own URL where
// it says nothing, and "" when there is none: where Receipts may be had, and
// nothing to trust.
func Service(ctx context.Context, src tiles.Source, location string) (string, error) {
	data, err := src.Get(ctx, tiles.ConfigurationPath)
	if err == nil {
		c, err := scitt.ParseConfiguration(data)
		if err != nil {
			return "", fmt.Errorf("%s of %s: %w", tiles.ConfigurationPath, location, err)
		}
		location = c.Issuer
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	u, err := url.Parse(location)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return "", nil
	}
	return strings.TrimRight(location, "/"), nil
}
