// Package postgres says what a PostgreSQL text means.
package postgres
