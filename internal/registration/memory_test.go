package registration

import (
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
)

// A node for every other byte is the most that a file can be made to take.
func TestHostileFilesAtOnceTakeTheMemoryOfOne(t *testing.T) {
	g := NewWithT(t)
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	hostile := []byte("[" + strings.Repeat("a,", MaxSize/2-1) + "]")
	peak := func(at int) (peak uint64) {
		runtime.GC()
		var all sync.WaitGroup
		done := make(chan struct{})
		for range at {
			all.Go(func() {
				_, err := Parse(map[string][]byte{DefaultKey: hostile}, DefaultKey)
				g.Expect(err).To(HaveOccurred())
			})
		}
		go func() { all.Wait(); close(done) }()
		var is runtime.MemStats
		for {
			runtime.ReadMemStats(&is)
			peak = max(peak, is.HeapAlloc)
			select {
			case <-done:
				return peak
			default:
				runtime.Gosched()
			}
		}
	}
	one := peak(1)
	g.Expect(peak(8)).To(BeNumerically("<", 2*one))
}
