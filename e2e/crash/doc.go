// Package crash kills the gateway under load, again and again, and compares
// PostgreSQL's own log with the journal: no statement may have reached the
// server without its durable record (unless it is a proven pure read), and no
// client may have seen an answer whose record is missing. The gateway must come
// back without repair each time.
//
// SLUICE_KILLS says how often; `make soak` uses 100.
package crash
