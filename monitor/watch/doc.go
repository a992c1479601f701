// Package watch follows logs from their static files and tells people and
// programs what is wrong with them or new in them.
//
// A look at a log opens it at its newest checkpoint (package party holds that
// against everything seen before), reads the entries that are new, and holds
// them to the rules of a configuration. It comes to alerts: events, which happen
// once, and conditions, which are reported when they begin and when they end.
//
// # Once
//
// Each log has one state file, which is replaced in one step. A look writes into
// it where it is in the log, what conditions hold, and the alerts that it came
// to, together with the sinks that each still has to go to. Only then are they
// delivered, and a delivery is noted in the file after it was made. So:
//
//   - killed before the file is replaced, a look has not happened: the next
//     one comes to the same alerts, and none of them was delivered;
//   - killed after it, the alerts stand in the file and are delivered by the
//     next run;
//   - killed between a delivery and its note, the same alert is delivered to
//     that sink once more, with the same bytes and the same id. This concerns
//     one alert of a command or a webhook (up to 100 when more than 100 wait), and
//     the lines that were written last.
//
// Every alert therefore reaches every sink at least once, and its id, which
// never changes once it was written, is how a receiver drops a repetition.
// Without a kill or a full disk, it is exactly once.
package watch
