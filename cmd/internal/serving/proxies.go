package serving

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/realclientip/realclientip-go"
)

// proxies are the reverse proxies in front of the service that say truly whose
// request they pass on.
type proxies struct {
	networks []net.IPNet
	headers  []realclientip.Strategy
}

// parseProxies reads addresses and networks such as 10.0.0.0/8.
func parseProxies(all []string) (p proxies, err error) {
	if p.networks, err = realclientip.AddressesAndRangesToIPNets(all...); err != nil {
		return p, fmt.Errorf("--trusted-proxies takes addresses and networks such as 10.0.0.0/8: %w", err)
	}
	for _, name := range []string{"X-Forwarded-For", "Forwarded"} {
		s, err := realclientip.NewRightmostTrustedRangeStrategy(name, p.networks)
		if err != nil {
			return p, fmt.Errorf("--trusted-proxies: %w", err)
		}
		p.headers = append(p.headers, s)
	}
	return p, nil
}

func (p proxies) trust(a netip.Addr) bool {
	for _, network := range p.networks {
		if network.Contains(a.Unmap().AsSlice()) {
			return true
		}
	}
	return false
}

// client is the address and port of whose request it is. What X-Forwarded-For
// and Forwarded (RFC 7239) say counts from a trusted proxy only, and of the
// addresses there the last one that is not a trusted proxy's: those before it
// may be the client's invention. A proxy writes one of the two headers and may
// pass on the other as the client sent it, so where they differ neither counts.
func (p proxies) client(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.trust(peer.Addr()) {
		return r.RemoteAddr
	}
	var client netip.Addr
	for _, header := range p.headers {
		addr, err := netip.ParseAddr(header.ClientIP(r.Header, r.RemoteAddr))
		switch {
		case err != nil: // the header is not there, or cannot be understood
		case client.IsValid() && client != addr:
			return r.RemoteAddr
		default:
			client = addr
		}
	}
	if !client.IsValid() {
		return r.RemoteAddr
	}
	return netip.AddrPortFrom(client, 0).String()
}
