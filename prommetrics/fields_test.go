package prommetrics

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata"
	"github.com/frittata-go/frittata/quic"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// elsewhere are the fields that have no metric of their own, and where their count is.
var elsewhere = map[string]string{
	"ConnsClosed":              "connections_closed_total and handshakes_failed_total",
	"HandshakesCompleted":      "handshake_duration_seconds_count",
	"HandshakesFailed":         "handshakes_failed_total",
	"Admission.Accepted":       "first_flights_total",
	"Endpoint.Drops[0]":        "no reason",
	"Socket.DatagramsReceived": "received_datagrams_total",
	"Socket.BytesReceived":     "received_bytes_total",
	"Socket.DatagramsSent":     "sent_datagrams_total",
	"Socket.BytesSent":         "sent_bytes_total",

	// Of connections: what a closed one has no more, or has a histogram for.
	"LatestRTT":        "connection_smoothed_rtt_seconds",
	"SmoothedRTT":      "connection_smoothed_rtt_seconds",
	"MinRTT":           "connection_min_rtt_seconds",
	"RTTVar":           "connection_smoothed_rtt_seconds",
	"CongestionWindow": "connection_pacing_rate_bytes_per_second",
	"PacingRate":       "connection_pacing_rate_bytes_per_second",
	"BytesInFlight":    "gauge of an open connection",
	"PathMTU":          "gauge of an open connection",
}

// leaves calls f for each number in the struct or array v.
func leaves(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if path != "" {
				name = path + "." + name
			}
			leaves(v.Field(i), name, f)
		}
	case reflect.Array:
		for i := range v.Len() {
			leaves(v.Index(i), path+"["+strconv.Itoa(i)+"]", f)
		}
	default:
		f(path, v)
	}
}

// three is what a metric is for a field that is 3.
func three(name string) float64 {
	if strings.HasSuffix(name, "_seconds") {
		return (3 * time.Nanosecond).Seconds()
	}
	return 3
}

// Each number of a struct of counters changes one metric, as a counter if it is one.
func testFields[S any](t *testing.T, table []field[S]) {
	t.Helper()
	var s S
	fields := describe("x", table)
	used := make([]bool, len(fields))
	leaves(reflect.ValueOf(&s).Elem(), "", func(path string, v reflect.Value) {
		counter := v.CanUint()
		if counter {
			v.SetUint(3)
		} else {
			v.SetInt(3)
		}
		var names []string
		for i := range fields {
			if f := &fields[i]; f.get(&s) != 0 {
				names = append(names, f.name)
				used[i] = true
				if f.get(&s) != three(f.name) && f.name != "connections" {
					t.Errorf("%s is %v for 3 of %s", f.name, f.get(&s), path)
				}
				if strings.HasSuffix(f.name, "_total") != counter {
					t.Errorf("%s, of %s, is the wrong kind of metric", f.name, path)
				}
			}
		}
		if _, other := elsewhere[path]; other == (len(names) > 0) {
			t.Errorf("%s has metrics %v, and is elsewhere: %v", path, names, other)
		}
		v.SetZero()
	})
	for i, u := range used {
		if !u {
			t.Errorf("%s counts nothing", fields[i].name)
		}
		if fields[i].desc == nil || i == 0 && fields[i].help == "" {
			t.Errorf("%s has no description", fields[i].name)
		}
	}
}

func TestTransportFields(t *testing.T) { testFields(t, transportFields) }
func TestConnFields(t *testing.T)      { testFields(t, connFields) }

func TestAdd(t *testing.T) {
	var to, from frittata.Stats
	leaves(reflect.ValueOf(&from).Elem(), "", func(_ string, v reflect.Value) {
		if v.CanUint() {
			v.SetUint(2)
		} else {
			v.SetInt(2)
		}
	})
	addCounters(&to, &from)
	addCounters(&to, &from)
	addGauges(&to, &from)
	leaves(reflect.ValueOf(&to).Elem(), "", func(path string, v reflect.Value) {
		if v.CanUint() && v.Uint() != 4 || v.CanInt() && v.Int() != 2 {
			t.Errorf("%s is %v", path, v)
		}
	})
}

func TestNames(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := New(&Options{Networks: 1})
	if err := reg.Register(m); err != nil {
		t.Fatal(err)
	}
	m.ConnClosed(&frittata.ConnRecord{HandshakeDone: true, Stats: quic.Stats{PacketsSent: 1}})
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Two of them, under other names, go into one registry.
func TestNamespace(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	for _, m := range []*Metrics{New(nil), New(&Options{Namespace: "other"})} {
		if err := reg.Register(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"frittata_transports", "other_transports"} {
		if n, err := testutil.GatherAndCount(reg, name); err != nil || n != 1 {
			t.Error(name, n, err)
		}
	}
}
