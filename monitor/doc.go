// Package monitor is mutual monitoring: what a provider, a customer and an
// auditor say about the same infrastructure in their logs, and how one is held
// against the other.
//
// A record is a Signed Statement about an OCSF event that creates, modifies or
// deletes assets (inventory) or their configurations ([ParseEvent], [Record]).
// The records of one issuer form chains ([Chain]). A [Replay] of the records
// in a log's order is the inventory and the configuration that the log speaks
// of. Acknowledgements and endorsements speak of entries of other logs
// ([Acknowledgement], [Endorsement]); [Links] leads from an asset to them, and
// [Requirements] are what a relying party asks for. [Compare] holds what was reported
// against what was observed, and [Measure] makes a number of it that anybody
// can compute again ([Recompute]).
//
// The formats are in docs/monitoring.md. Everything here is a function of
// verified entries: no clock, no network, no storage.
package monitor
