package leak

import (
	"net"
	"runtime"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// What is about to end is waited for.
func TestCheck(t *testing.T) {
	Check(t)
	Check(t)
	release := make(chan struct{})
	go func() { <-release }()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		go func() {
			close(release)
			pc.Close()
		}()
	})
}

// What is left is found.
func TestLeft(t *testing.T) {
	before := running()
	release, ended := make(chan struct{}), make(chan struct{})
	go func() { <-release; close(ended) }()
	left := newIn(running(), before)
	if len(left) != 1 || !strings.Contains(left[0], "leak.TestLeft") {
		t.Errorf("found %q", left)
	}
	close(release)
	<-ended
	if err := wait(before, -1); err != nil {
		t.Error(err)
	}
	if runtime.GOOS != "linux" {
		return
	}
	n := openSockets()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if m := openSockets(); m != n+1 {
		t.Errorf("%d sockets, and then %d", n, m)
	}
	pc.Close()
	if m := openSockets(); m != n {
		t.Errorf("%d sockets, and then %d", n, m)
	}
}

// Subtests are checked by themselves, while what is their parent's goes on.
func TestSubtests(t *testing.T) {
	Check(t)
	release := make(chan struct{})
	go func() { <-release }()
	t.Run("sub", func(t *testing.T) {
		Check(t)
		done := make(chan struct{})
		go func() { close(done) }()
		<-done
	})
	close(release)
}

// What is held is found, and what others let go of again and again is not.
func TestGrown(t *testing.T) {
	before := Heap()
	held := make([]byte, 16<<20)
	if n := grown(before, 8<<20); n < 16<<20 {
		t.Errorf("grown by %d bytes, with %d held", n, len(held))
	}
	runtime.KeepAlive(held)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				held = make([]byte, 1<<20)
			}
		}
	}()
	CheckHeap(t, before, 8<<20)
	close(stop)
	<-stopped
}
