package leak

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long what is about to end may take for it.
const patience = 30 * time.Second

// Check has the test fail if, when it and all that it registers from now on with Cleanup are over,
// there are goroutines or sockets that were not there when Check was called.
// Helpers may call it too: of several calls for one test the first counts. It is not for tests that run in parallel.
func Check(t testing.TB) {
	t.Helper()
	if !begin(t) {
		return
	}
	before, sockets := running(), openSockets()
	t.Cleanup(func() {
		defer end(t)
		if err := wait(before, sockets); err != nil {
			t.Error(err)
		}
	})
}

// Main runs the tests of a package, for its TestMain, and exits. They fail if a goroutine is left in the end.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := wait(nil, -1); err != nil {
			fmt.Fprintln(os.Stderr, "after all tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

var (
	mu      sync.Mutex
	checked = make(map[testing.TB]bool) // tests that are running
)

func begin(t testing.TB) bool {
	mu.Lock()
	defer mu.Unlock()
	if checked[t] {
		return false
	}
	checked[t] = true
	return true
}

func end(t testing.TB) {
	mu.Lock()
	defer mu.Unlock()
	delete(checked, t)
}

// wait waits until nothing is left but what was there before, or tells what is. A negative number of sockets counts none.
func wait(before map[int]string, sockets int) error {
	pause := 10 * time.Microsecond
	for deadline := time.Now().Add(patience); ; {
		left := newIn(running(), before)
		more := 0
		if sockets >= 0 {
			more = openSockets() - sockets
		}
		switch {
		case len(left) == 0 && more <= 0:
			return nil
		case time.Now().After(deadline) && len(left) > 0:
			return fmt.Errorf("%d goroutines are left:\n\n%s", len(left), strings.Join(left, "\n\n"))
		case time.Now().After(deadline):
			return fmt.Errorf("%d sockets are left open", more)
		}
		runtime.Gosched()
		time.Sleep(pause) // nothing tells when a goroutine has ended
		pause = min(2*pause, 10*time.Millisecond)
	}
}

func newIn(now, before map[int]string) (stacks []string) {
	for id, stack := range now {
		if _, old := before[id]; !old {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// running returns the stacks of all goroutines that a test may have to answer for.
func running() map[int]string {
	buf := make([]byte, 64<<10)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	stacks := make(map[int]string)
	for i, stack := range strings.Split(string(buf[:n]), "\n\n") {
		if i == 0 || isOthers(stack) { // the first is this one
			continue
		}
		if id, ok := idOf(stack); ok {
			stacks[id] = stack
		}
	}
	return stacks
}

// idOf takes "goroutine 12 [running]:" apart.
func idOf(stack string) (int, bool) {
	rest, ok := strings.CutPrefix(stack, "goroutine ")
	if !ok {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, " ")
	id, err := strconv.Atoi(digits)
	return id, err == nil
}

// others are in the stacks of goroutines of the testing package, of the runtime and of the standard
// library's that stay for good.
var others = []string{
	"\ntesting.(*T).Run(", "\ntesting.(*M).", "\ntesting.runFuzzTests(", "\ntesting.(*F).Fuzz", "testing.tRunner(", "testing.runTests(",
	"testing.runFuzzing", "\ncreated by testing.(*T).Run", "\ncreated by testing.(*B).run", "\ncreated by runtime.", "\nos/signal.loop(", "\nos/signal.signal_recv(",
}

func isOthers(stack string) bool {
	for _, o := range others {
		if strings.Contains(stack, o) {
			return true
		}
	}
	return false
}
