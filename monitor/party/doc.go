// Package party is one participant of mutual monitoring, a provider, a
// customer or an auditor, where it touches the world: it opens logs, its own
// and those of others, from their static files, remembers what it has seen of
// them, and registers its own statements.
//
// What is computed of a log's entries is package monitor, which knows no
// network and no disk.
package party
