// Package tiles reads a tiled transparency log (C2SP tlog-tiles) from its
// static files, on a disk or behind HTTP, and proves what is in it. It needs
// no running service and no log engine, and everything that it returns is
// either verified against a checkpoint or marked as unverified.
//
// The files are
//
//	checkpoint                       signed note: origin, size, root
//	tile/<L>/<N>[.p/<W>]             up to 256 hashes of level L
//	tile/entries/<N>[.p/<W>]         up to 256 entries, each after a uint16 length
//	.well-known/scitt-keys           COSE Key Set: the keys of receipts
//	.well-known/transparency-configuration   CBOR: issuer, origin, verifier keys, policy
package tiles
