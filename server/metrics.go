package server

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sluice/access"
	"sluice/pipeline"
)

// metrics are what /metrics shows. No label ever names a user or a resource:
// there are too many, and the page is open.
type metrics struct {
	registry  *prometheus.Registry
	decisions *prometheus.CounterVec
	deciding  prometheus.Histogram
	appending prometheus.Histogram
	events    *prometheus.CounterVec
	revision  *prometheus.GaugeVec
	reloads   *prometheus.CounterVec
	reloadOK  prometheus.Gauge
	delivered *prometheus.CounterVec

	byType     map[access.EventType]prometheus.Counter
	byProtocol map[string]*[3]prometheus.Counter // by effect
}

// gauges are read when somebody looks.
type gauges struct {
	sessions, approvalsPending, indexLag, unclassified func() float64
}

func newMetrics(g gauges, protocols []string) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.decisions = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_decisions_total",
		Help: "Actions decided, by protocol, effect and mode; mode=monitor counts what rules in monitor mode would have done."}, []string{"protocol", "effect", "mode"})
	m.deciding = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_decision_seconds",
		Help: "Time the policy took to decide about one action.", Buckets: prometheus.ExponentialBuckets(1e-6, 4, 10)})
	m.appending = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_audit_append_seconds",
		Help: "Time of one write that makes records durable; an action waits for one, at most two.", Buckets: prometheus.ExponentialBuckets(16e-6, 4, 10)})
	m.events = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_audit_events_total", Help: "Events appended to the journal, by type."}, []string{"type"})
	m.revision = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_policy_revision_info", Help: "1 for the policy in force, by its digest."}, []string{"digest"})
	m.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_config_reloads_total", Help: "Changed configurations, by result: ok or refused."}, []string{"result"})
	m.delivered = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_channel_deliveries_total",
		Help: "Notices about requests for approval, by channel and result: ok, retried or failed."}, []string{"channel", "result"})
	m.reloadOK = prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_config_current",
		Help: "1 if the files on disk are in force, 0 if the last change was refused and an older configuration is."})
	m.registry.MustRegister(m.decisions, m.deciding, m.appending, m.events, m.revision, m.reloads, m.reloadOK, m.delivered,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for name, gauge := range map[string]struct {
		help string
		read func() float64
	}{
		"sluice_sessions":             {"Live sessions.", g.sessions},
		"sluice_approvals_pending":    {"Requests that wait for an answer.", g.approvalsPending},
		"sluice_columns_unclassified": {"Columns of tables, in the databases used since the start, that the resource's Classification does not mention.", g.unclassified},
		"sluice_audit_index_lag":      {"Durable events that the search index does not hold yet; search reads them from the journal.", g.indexLag},
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: gauge.help}, gauge.read))
	}
	m.reloadOK.Set(1)
	m.resolve(protocols)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// policyIs shows the revision in force.
func (m *metrics) policyIs(digest string) {
	m.revision.Reset()
	m.revision.WithLabelValues(digest).Set(1)
}

// A measuredDecider times the policy.
type measuredDecider struct {
	pipeline.Decider
	m *metrics
}

func (d measuredDecider) Decide(r access.Request) access.Decision {
	begin := time.Now()
	dec := d.Decider.Decide(r)
	d.m.deciding.Observe(time.Since(begin).Seconds())
	return dec
}

// A measuredJournal counts what is appended.
type measuredJournal struct {
	pipeline.Notifier
	m *metrics
}

func (j measuredJournal) Append(events ...*access.Event) (access.Mark, error) {
	mark, err := j.Notifier.Append(events...)
	if err == nil {
		for _, e := range events {
			j.m.count(e)
		}
	}
	return mark, err
}

func (j measuredJournal) Queue(events ...*access.Event) (access.Mark, error) {
	mark, err := j.Notifier.Queue(events...)
	if err == nil {
		for _, e := range events {
			j.m.count(e)
		}
	}
	return mark, err
}

// count is on the path of every statement: no labels are hashed here.
func (m *metrics) count(e *access.Event) {
	if c := m.byType[e.Type]; c != nil {
		c.Inc()
	}
	if e.Type != access.ActionDecided || e.Decision == nil || e.Resource == nil {
		return
	}
	effects := m.byProtocol[e.Resource.Protocol]
	if effects == nil {
		return
	}
	effects[min(e.Decision.Effect, access.RequireApproval)].Inc()
	for _, w := range e.Decision.Would {
		m.decisions.WithLabelValues(e.Resource.Protocol, w.Effect, "monitor").Inc()
	}
}

// resolve looks up the counters that count uses.
func (m *metrics) resolve(protocols []string) {
	m.byType = map[access.EventType]prometheus.Counter{}
	for _, t := range access.EventTypes() {
		m.byType[t] = m.events.WithLabelValues(string(t))
	}
	m.byProtocol = map[string]*[3]prometheus.Counter{}
	for _, p := range protocols {
		var effects [3]prometheus.Counter
		for e := access.Deny; e <= access.RequireApproval; e++ {
			effects[e] = m.decisions.WithLabelValues(p, e.String(), "enforce")
		}
		m.byProtocol[p] = &effects
	}
}
