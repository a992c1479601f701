package monitor

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestInScope: at each scan the assets are those that are alive, in order, whatever came, went, came again and got another
// name since the scan before.
func TestInScope(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	r := NewReplay(Filter{}, nil)
	r.traits.number(Traits{Region: "eu"})
	uid := func() string { return fmt.Sprintf("asset %03d", rng.IntN(500)) }
	for scan := range 200 {
		for range rng.IntN(1 << rng.IntN(10)) {
			switch name, other := uid(), uid(); {
			case r.assets[name] == nil:
				r.addAsset(name, &asset{issuer: rng.IntN(2), traits: rng.IntN(2)})
			case rng.IntN(3) > 0:
				r.removeAsset(name)
			case name != other:
				r.rename(name, other)
			}
		}
		for issuer := range 2 {
			want := slices.Sorted(maps.Keys(r.assets))
			want = slices.DeleteFunc(want, func(uid string) bool { return r.assets[uid].issuer != issuer || r.assets[uid].traits == 0 })
			var got []string
			for _, a := range r.inScope(issuer, Scope{"region=eu"}) {
				got = append(got, a.uid)
				if r.assets[a.uid] != a.asset {
					t.Fatalf("scan %d: %s is another asset", scan, a.uid)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("scan %d: %q, want %q", scan, got, want)
			}
		}
	}
}
