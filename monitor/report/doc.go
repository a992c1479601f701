// Package report makes the customer's risk dashboard out of verified
// statements: measurements and endorsements by those whose word counts, found
// in logs whose checkpoints were verified, and what the reader's own
// comparison of the logs comes to.
//
// [Make] collects and judges; the [Report] that it gives is a document
// (docs/schemas/report.schema.json) from which the HTML page ([Report.HTML])
// and the Prometheus text ([Report.Prometheus]) are made. The same logs and
// options give the same bytes. There is no clock, no network and no storage
// here.
package report
