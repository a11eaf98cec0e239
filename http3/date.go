package http3

import (
	"net/http"
	"sync/atomic"
	"time"
)

// dateValue is the Date field of the responses of one second.
type dateValue struct {
	second int64
	s      string
}

var lastDate atomic.Pointer[dateValue]

// date returns the value of the Date field for now.
func date() string {
	now := time.Now()
	second := now.Unix()
	if d := lastDate.Load(); d != nil && d.second == second {
		return d.s
	}
	d := &dateValue{second, now.UTC().Format(http.TimeFormat)}
	lastDate.Store(d)
	return d.s
}
