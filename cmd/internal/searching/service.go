package searching

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/search"
)

// AtService is the source that --log names: a service's GET /search.
var AtService = Source{
	Flag: "log", Usage: "URL of the service that searches", files: true,
	Long: `
The answer comes from a service's GET /search: that of the log itself, or one over
somebody else's log (conmotiond --search-of). conmotion-index has an index of your
own to search instead.
`,
	Example: `  conmotion search --log http://127.0.0.1:8080 --class-uid 5023 --event-code inventory.create
  conmotion search --log http://127.0.0.1:8080 --filter f.resources.uid=i-0a1 --order desc --limit 5
  conmotion search --log http://127.0.0.1:8080 --q "volume backup" --filter 'f.severity_id=>=3' --all --json
  conmotion search --log http://127.0.0.1:8080 --stats

  # trust nobody: hold each hit, or the whole answer, to the log's files
  conmotion search --log http://127.0.0.1:8080 --sub asset/7 --verify=hits
  conmotion search --log http://127.0.0.1:8080 --sub asset/7 --verify`,
	Open: func(_ context.Context, a *cli.App, name string) (Searcher, func(), error) {
		var err error
		o := a.ClientOptions(1)
		if o.Token, err = a.Token(name); err != nil {
			return nil, nil, err
		}
		c, err := client.New(name, o)
		if err != nil {
			return nil, nil, cli.Usage(fmt.Errorf("--log: %w", err))
		}
		return service{c}, func() {}, nil
	},
}

// service is a service that searches.
type service struct{ *client.Client }

// Search implements [Searcher].
func (s service) Search(ctx context.Context, query url.Values) (*search.Answer, error) {
	body, err := s.Client.Search(ctx, query)
	return answer[search.Answer](body, err)
}

// Stats implements [Searcher].
func (s service) Stats(ctx context.Context) (*search.Stats, error) {
	body, err := s.SearchStats(ctx)
	return answer[search.Stats](body, err)
}

func answer[T any](body []byte, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	var a T
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, cli.Bad(fmt.Errorf("the service does not answer as a search does: %w", err))
	}
	return &a, nil
}
