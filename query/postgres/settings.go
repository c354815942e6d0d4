package postgres

import (
	"slices"
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// harmlessSettings change how the server plans, waits or formats, and nothing
// that is judged, protected or recorded. A setting that is not listed is
// configure: extensions and applications hang row security on their own.
var harmlessSettings = set(`
 application_name search_path datestyle timezone intervalstyle extra_float_digits bytea_output xmlbinary xmloption
 lc_messages lc_monetary lc_numeric lc_time default_text_search_config client_min_messages
 statement_timeout lock_timeout idle_in_transaction_session_timeout idle_session_timeout transaction_timeout
 deadlock_timeout tcp_keepalives_idle tcp_keepalives_interval tcp_keepalives_count tcp_user_timeout
 client_connection_check_interval transaction_isolation default_transaction_isolation transaction_deferrable
 default_transaction_deferrable transaction_read_only work_mem maintenance_work_mem hash_mem_multiplier temp_buffers
 logical_decoding_work_mem effective_cache_size effective_io_concurrency maintenance_io_concurrency
 random_page_cost seq_page_cost cpu_tuple_cost cpu_index_tuple_cost cpu_operator_cost parallel_setup_cost
 parallel_tuple_cost min_parallel_table_scan_size min_parallel_index_scan_size max_parallel_workers
 max_parallel_workers_per_gather max_parallel_maintenance_workers parallel_leader_participation
 from_collapse_limit join_collapse_limit geqo geqo_threshold geqo_effort geqo_pool_size geqo_generations
 geqo_selection_bias geqo_seed default_statistics_target constraint_exclusion cursor_tuple_fraction plan_cache_mode
 recursive_worktable_factor jit jit_above_cost jit_inline_above_cost jit_optimize_above_cost jit_expressions
 jit_tuple_deforming default_tablespace temp_tablespaces default_table_access_method default_toast_compression
 check_function_bodies gin_fuzzy_search_limit gin_pending_list_limit array_nulls escape_string_warning
 quote_all_identifiers synchronize_seqscans synchronous_commit commit_siblings vacuum_cost_delay
 vacuum_cost_limit vacuum_cost_page_hit vacuum_cost_page_miss vacuum_cost_page_dirty vacuum_freeze_min_age
 vacuum_freeze_table_age vacuum_multixact_freeze_min_age vacuum_multixact_freeze_table_age seed
 createrole_self_grant restrict_nonsystem_relation_kind event_triggers stats_fetch_consistency
 sluice.reason sluice.wait sluice.ticket
`)

// pinned settings are harmless at the value that the analysis assumes anyway,
// or that protects more.
var pinned = map[string][]string{
	"client_encoding":               {"utf8", "utf-8", "unicode"},
	"standard_conforming_strings":   {"on", "true", "yes", "1"},
	"backslash_quote":               {"safe_encoding", "off", "false", "no", "0"},
	"default_transaction_read_only": on,
}

// settingName folds a name as the server compares them.
func settingName(name string) string { return string(lower(nil, name)) }

// harmless reports whether a change alters nothing that matters here.
func (c *SettingChange) harmless() bool {
	if harmlessSettings()[c.Name] || strings.HasPrefix(c.Name, "enable_") && !strings.Contains(c.Name, ".") {
		return true
	}
	for _, v := range pinned[c.Name] {
		if c.Known && !c.Reset && strings.EqualFold(c.Value, v) {
			return true
		}
	}
	return false
}

// readWrite reports whether transactions may write after the change that could
// not before. The session's own default is what the session began with.
func (c *SettingChange) readWrite() bool {
	switch c.Name {
	case "transaction_read_only":
		return c.Reset || !c.Known || !slices.Contains(on, strings.ToLower(c.Value))
	case "default_transaction_read_only":
		return !c.Reset && (!c.Known || !slices.Contains(on, strings.ToLower(c.Value)))
	}
	return false
}

// on is how a boolean setting is turned on.
var on = []string{"on", "true", "yes", "1"}

// setting records one change and what it amounts to.
func (a *analysis) setting(c SettingChange) {
	a.literal = true
	a.st.Settings = append(a.st.Settings, c)
	a.st.ReadWrite = a.st.ReadWrite || c.readWrite()
	a.object(access.Object{Kind: access.KindSetting, Name: c.Name, Write: true})
	switch {
	case c.Name == "role" || c.Name == "session_authorization":
		a.effect(access.VerbSetRole)
		if c.Value != "" {
			a.object(access.Object{Kind: access.KindRole, Name: c.Value})
		}
	case c.harmless():
		a.effect(access.VerbSet)
	default:
		a.effect(access.VerbConfigure)
	}
}

// setStmt is SET and RESET in all their spellings.
func (a *analysis) setStmt(s *pgquery.VariableSetStmt) {
	switch s.Kind {
	case pgquery.VariableSetKind_VAR_SET_VALUE:
		value, known := settingValue(s.Args)
		a.setting(SettingChange{Name: settingName(s.Name), Value: value, Known: known, Local: s.IsLocal})
	case pgquery.VariableSetKind_VAR_SET_DEFAULT, pgquery.VariableSetKind_VAR_RESET:
		a.setting(SettingChange{Name: settingName(s.Name), Local: s.IsLocal, Reset: true})
	case pgquery.VariableSetKind_VAR_SET_CURRENT:
		a.setting(SettingChange{Name: settingName(s.Name), Local: s.IsLocal})
	case pgquery.VariableSetKind_VAR_SET_MULTI:
		a.setMulti(s)
	case pgquery.VariableSetKind_VAR_RESET_ALL:
		// The server leaves role and session authorization alone; everything
		// else goes back to what the session began with.
		a.st.Settings = append(a.st.Settings, SettingChange{Name: "all", Reset: true})
		a.object(access.Object{Kind: access.KindSetting, Name: "all", Write: true})
		a.effect(access.VerbSet)
	default:
		a.opaque("a SET of a kind that is not known")
	}
}

// setMulti is SET TRANSACTION and SET SESSION CHARACTERISTICS.
func (a *analysis) setMulti(s *pgquery.VariableSetStmt) {
	prefix := ""
	if s.Name == "SESSION CHARACTERISTICS" {
		prefix = "default_"
	}
	a.effect(access.VerbSet)
	for _, n := range s.Args {
		if e := n.GetDefElem(); e != nil {
			a.setting(SettingChange{Name: prefix + e.Defname, Value: modeValue(e.Arg), Known: true, Local: prefix == ""})
		}
	}
}

// modeValue spells a transaction mode's value as the setting does.
func modeValue(n *pgquery.Node) string {
	c := n.GetAConst()
	if i, ok := c.GetVal().(*pgquery.A_Const_Ival); ok {
		if i.Ival.GetIval() != 0 {
			return "on"
		}
		return "off"
	}
	return c.GetSval().GetSval()
}

// settingValue joins the values of SET name = a, b as SHOW prints them.
func settingValue(args []*pgquery.Node) (string, bool) {
	parts := make([]string, 0, len(args))
	for _, n := range args {
		text, null, ok := constText(n)
		if !ok || null {
			return "", false
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", "), true
}

// constText returns a constant as text.
func constText(n *pgquery.Node) (text string, null, ok bool) {
	if c := n.GetTypeCast(); c != nil {
		return constText(c.Arg)
	}
	c := n.GetAConst()
	if c == nil {
		return "", false, false
	}
	if c.Isnull {
		return "", true, true
	}
	return constValue(c), false, true
}
