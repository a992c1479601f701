// Package mirror copies a log into a directory that needs nothing else, brings
// the copy up to date, and verifies it without any network.
//
// An export is a log at one checkpoint: entry bundles, tiles and checkpoint, the
// log's keys, the artifacts whose hashes its statements sign, and a manifest
// with the SHA-256 of everything. Nobody signs the manifest: the checkpoint is
// signed, and everything in an export follows from it but the artifacts that are
// missing and the files of the keys.
package mirror
