package postgres

import (
	"strings"
	"sync"

	"sluice/query/catalog"
)

// A funcClass says what calling a function can do. What is not listed is
// unknown: it may do anything.
type funcClass uint8

const (
	fnUnknown  funcClass = iota
	fnPure               // reads at most what it is given and the catalog
	fnHarmless           // has an effect, on nothing that is protected
	fnSequence           // moves a sequence
	fnSetting            // set_config
	fnNotify             // pg_notify
	fnLock               // advisory locks
	fnLeak               // shows other sessions, statistics of columns, large objects, pages
	fnSQL                // runs SQL handed over as text, or reads tables named in a string
	fnFile               // reads or writes the server's files
	fnAdmin              // signals, slots, backups, configuration, large objects' writes
)

// harmlessNames are the volatile functions that only look, or change nothing
// but their own answer.
const harmlessNames = `
 clock_timestamp currval gen_random_uuid lastval random setseed timeofday pg_sleep pg_sleep_for pg_sleep_until
 pg_blocking_pids pg_safe_snapshot_blocking_pids pg_isolation_test_session_is_blocked
 pg_collation_actual_version pg_database_collation_actual_version pg_control_checkpoint pg_control_init
 pg_control_recovery pg_control_system pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn
 pg_database_size pg_indexes_size pg_relation_size pg_table_size pg_tablespace_size pg_total_relation_size
 pg_get_multixact_members pg_get_wal_replay_pause_state pg_is_in_recovery pg_is_wal_replay_paused
 pg_jit_available pg_last_committed_xact pg_last_wal_receive_lsn pg_last_wal_replay_lsn
 pg_last_xact_replay_timestamp pg_notification_queue_usage pg_partition_ancestors pg_partition_tree
 pg_sequence_last_value pg_stat_clear_snapshot pg_stat_have_stats pg_stat_get_xact_blocks_fetched
 pg_stat_get_xact_blocks_hit pg_stat_get_xact_function_calls pg_stat_get_xact_function_self_time
 pg_stat_get_xact_function_total_time pg_stat_get_xact_numscans pg_stat_get_xact_tuples_deleted
 pg_stat_get_xact_tuples_fetched pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_inserted
 pg_stat_get_xact_tuples_returned pg_stat_get_xact_tuples_updated pg_xact_commit_timestamp
 pg_xact_commit_timestamp_origin pg_xact_status txid_status amvalidate
`

// newerNames are pure functions that came after the release builtins.go was
// generated from, up to 18.
const newerNames = `
 any_value array_sample array_shuffle array_sort array_reverse erf erfc random_normal date_add date_subtract
 system_user to_bin to_oct unicode_assigned unicode_version
 icu_unicode_version uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 casefold crc32 crc32c gamma
 lgamma pg_get_acl has_largeobject_privilege xmltext to_regtypemod pg_basetype pg_split_walfile_name
 pg_size_bytes regexp_count regexp_instr regexp_like regexp_substr bit_count trim_array json_exists json_query
 json_value json_serialize pg_char_to_encoding range_agg multirange pg_get_process_info
`

const (
	exportNames   = "pg_export_snapshot pg_current_xact_id txid_current"
	sequenceNames = "nextval setval"
	settingNames  = "set_config"
	notifyNames   = "pg_notify"
	lockNames     = `pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all
 pg_advisory_unlock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_lock
 pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared`
)

const leakNames = `
 pg_stat_get_activity pg_stat_get_backend_activity pg_stat_get_backend_client_addr pg_stat_get_backend_client_port
 pg_prepared_statement pg_cursor pg_prepared_xact pg_lock_status pg_stat_get_wal_receiver pg_stat_get_wal_senders
 pg_get_replication_slots pg_stat_get_subscription pg_mcv_list_items pg_hba_file_rules pg_ident_file_mappings
 pg_show_all_file_settings pg_get_backend_memory_contexts pg_get_shmem_allocations pg_show_replication_origin_status
 pg_stat_get_recovery_prefetch pg_stat_get_progress_info lo_get loread lo_open lo_close lo_lseek lo_lseek64
 lo_tell lo_tell64 pg_listening_channels pg_input_error_info pg_input_is_valid
`

const sqlNames = `
 query_to_xml query_to_xml_and_xmlschema query_to_xmlschema cursor_to_xml cursor_to_xmlschema table_to_xml
 table_to_xml_and_xmlschema table_to_xmlschema schema_to_xml schema_to_xml_and_xmlschema schema_to_xmlschema
 database_to_xml database_to_xml_and_xmlschema database_to_xmlschema ts_stat ts_rewrite
`

const fileNames = `
 pg_read_file pg_read_binary_file pg_read_file_old pg_stat_file pg_ls_dir pg_ls_logdir pg_ls_waldir
 pg_ls_archive_statusdir pg_ls_tmpdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir
 pg_ls_summariesdir lo_import lo_export pg_file_write pg_file_rename pg_file_unlink pg_file_sync pg_logdir_ls
 pg_current_logfile
`

const adminNames = `
 pg_cancel_backend pg_terminate_backend pg_reload_conf pg_rotate_logfile pg_rotate_logfile_old pg_promote
 pg_switch_wal pg_switch_xlog pg_create_restore_point pg_backup_start pg_backup_stop pg_start_backup
 pg_stop_backup pg_wal_replay_pause pg_wal_replay_resume pg_copy_logical_replication_slot
 pg_copy_physical_replication_slot pg_create_logical_replication_slot pg_create_physical_replication_slot
 pg_drop_replication_slot pg_replication_slot_advance pg_sync_replication_slots pg_logical_emit_message
 pg_logical_slot_get_binary_changes pg_logical_slot_get_changes pg_logical_slot_peek_binary_changes
 pg_logical_slot_peek_changes pg_replication_origin_advance pg_replication_origin_create
 pg_replication_origin_drop pg_replication_origin_progress pg_replication_origin_session_is_setup
 pg_replication_origin_session_progress pg_replication_origin_session_reset pg_replication_origin_session_setup
 pg_replication_origin_xact_reset pg_replication_origin_xact_setup pg_stat_reset pg_stat_reset_shared
 pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters pg_stat_reset_slru
 pg_stat_reset_replication_slot pg_stat_reset_subscription_stats pg_stat_force_next_flush
 pg_log_backend_memory_contexts pg_import_system_collations pg_extension_config_dump pg_nextoid
 pg_stop_making_pinned_objects brin_desummarize_range brin_summarize_new_values brin_summarize_range
 gin_clean_pending_list lo_creat lo_create lo_from_bytea lo_put lo_truncate lo_truncate64 lo_unlink lowrite
 pg_restore_relation_stats pg_clear_relation_stats pg_restore_attribute_stats pg_clear_attribute_stats
`

// functionClasses maps the names of pg_catalog to their class. The hand-made
// lists are added last and so win.
var functionClasses = sync.OnceValue(func() map[string]funcClass {
	classes := make(map[string]funcClass, 2500)
	add := func(names string, c funcClass) {
		for _, n := range strings.Fields(names) {
			classes[n] = c
		}
	}
	add(quietFunctions, fnPure)
	add(newerNames, fnPure)
	add(harmlessNames, fnPure)
	add(exportNames, fnHarmless)
	add(sequenceNames, fnSequence)
	add(settingNames, fnSetting)
	add(notifyNames, fnNotify)
	add(lockNames, fnLock)
	add(leakNames, fnLeak)
	add(sqlNames, fnSQL)
	add(fileNames, fnFile)
	add(adminNames, fnAdmin)
	return classes
})

// set turns a list of names into a set, once.
func set(names string) func() map[string]bool {
	return sync.OnceValue(func() map[string]bool {
		all := make(map[string]bool)
		for _, n := range strings.Fields(names) {
			all[n] = true
		}
		return all
	})
}

var (
	isSystemOperator = set(systemOperators)
	isSystemType     = set(systemTypes)
	isSystemRelation = set(systemRelations)
	isLeakyRelation  = set(leakyRelations)
	isTrusted        = set(trustedExtensions)
)

// leakyRelations are the server's own relations that show values of users'
// tables, other sessions, credentials or the server's files. What reads them is
// at most partial. Everything that psql's backslash commands and the
// introspection of drivers read is left out on purpose.
const leakyRelations = `
 pg_statistic pg_statistic_ext_data pg_stats pg_stats_ext pg_stats_ext_exprs
 pg_stat_activity pg_stat_replication pg_stat_wal_receiver pg_stat_subscription pg_stat_ssl pg_stat_gssapi
 pg_stat_statements pg_stat_statements_info pg_stat_progress_copy pg_stat_progress_basebackup
 pg_prepared_statements pg_prepared_xacts pg_cursors pg_locks pg_largeobject
 pg_authid pg_shadow pg_user_mapping pg_user_mappings _pg_user_mappings user_mapping_options user_mappings
 pg_subscription pg_replication_slots pg_hba_file_rules pg_ident_file_mappings pg_file_settings
 pg_backend_memory_contexts pg_shmem_allocations pg_replication_origin_status pg_db_role_setting
`

// trustedExtensions are those whose functions written in C, and immutable ones
// written in SQL, only compute. Nobody but a superuser can add C to them.
const trustedExtensions = `
 btree_gin btree_gist citext cube earthdistance fuzzystrmatch hstore intarray isn ltree pg_trgm pgcrypto seg
 unaccent uuid-ossp vector
`

// extensionClass says what the functions of extensions that do more can do.
func extensionClass(extension string) funcClass {
	switch extension {
	case "dblink", "tablefunc", "xml2", "postgres_fdw":
		return fnSQL
	case "adminpack", "file_fdw":
		return fnFile
	case "pageinspect", "pgstattuple", "pg_buffercache", "pgrowlocks", "pg_visibility", "pg_freespacemap",
		"pg_walinspect", "pg_stat_statements", "amcheck":
		return fnLeak
	case "pg_cron":
		return fnAdmin
	}
	return fnUnknown
}

// trusted reports whether code of an extension only computes.
func trusted(extension, language string, immutable bool) bool {
	return isTrusted()[extension] && (language == "c" || language == "internal" || language == "sql" && immutable)
}

func trustedFunction(f *catalog.FunctionRow) bool {
	pure := f.Volatile != 'v' || f.Extension == "pgcrypto" || f.Extension == "uuid-ossp"
	return pure && !f.Definer && trusted(f.Extension, f.Language, f.Volatile == 'i')
}
