package prommetrics

import (
	"reflect"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// field is a metric that is read from a struct of counters. Rows that are one behind the
// other may have the name in common, and differ by the value of a label.
type field[S any] struct {
	name, help   string
	label, value string // empty: there is none
	get          func(*S) float64

	desc *prometheus.Desc
}

// describe makes the descriptions of a table. All of its metrics have labels besides their own.
func describe[S any](ns string, table []field[S], labels ...string) []field[S] {
	fields := append([]field[S](nil), table...)
	for i := range fields {
		f := &fields[i]
		if i > 0 && f.name == fields[i-1].name {
			f.desc = fields[i-1].desc
			continue
		}
		names := append([]string(nil), labels...)
		if f.label != "" {
			names = append(names, f.label)
		}
		f.desc = prometheus.NewDesc(ns+"_"+f.name, f.help, names, nil)
	}
	return fields
}

// metric is the value that s has. labels are the values of those of describe.
func (f *field[S]) metric(s *S, labels ...string) prometheus.Metric {
	kind := prometheus.GaugeValue
	if strings.HasSuffix(f.name, "_total") {
		kind = prometheus.CounterValue
	}
	if f.label != "" {
		labels = append(labels[:len(labels):len(labels)], f.value)
	}
	return prometheus.MustNewConstMetric(f.desc, kind, f.get(s), labels...)
}

// addCounters adds the counters of *from, a struct, to those of *to. Counters are
// unsigned, gauges are not: frittata.Stats and quic.Stats are made so.
func addCounters[S any](to, from *S) {
	add(reflect.ValueOf(to).Elem(), reflect.ValueOf(from).Elem(), reflect.Value.CanUint)
}

// addGauges adds the gauges.
func addGauges[S any](to, from *S) {
	add(reflect.ValueOf(to).Elem(), reflect.ValueOf(from).Elem(), reflect.Value.CanInt)
}

func add(to, from reflect.Value, which func(reflect.Value) bool) {
	switch to.Kind() {
	case reflect.Struct:
		for i := range to.NumField() {
			add(to.Field(i), from.Field(i), which)
		}
	case reflect.Array:
		for i := range to.Len() {
			add(to.Index(i), from.Index(i), which)
		}
	default:
		switch {
		case !which(to):
		case to.CanUint():
			to.SetUint(to.Uint() + from.Uint())
		case to.CanInt():
			to.SetInt(to.Int() + from.Int())
		}
	}
}
