package registration

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"maps"
	"math/big"
	mathrand "math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// fixedPair makes the same pair in every process, as the fuzzer needs it.
func fixedPair(f *testing.F, seed byte, validity time.Duration) pair {
	f.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(seed)), NotBefore: noon, NotAfter: noon.Add(validity)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	return pair{pemOf("CERTIFICATE", string(der)), keyPEM(f, key)}
}

// abbreviation puts a short name in the place of each line of the PEM: the fuzzer shall try its luck with the YAML
// around it.
func abbreviation(p pair) (shorten, expand *strings.Replacer) {
	var forth, back []string
	for i, line := range strings.Split(strings.TrimSpace(p.crt+p.key), "\n") {
		name := "@" + string(rune('a'+i))
		forth, back = append(forth, line, name), append(back, name, line)
	}
	return strings.NewReplacer(forth...), strings.NewReplacer(back...)
}

// addSeeds adds abbreviated seeds, and returns what makes data of them.
func addSeeds(f *testing.F, p pair) func(first, second string) map[string][]byte {
	shorten, expand := abbreviation(p)
	add := func(first, second string) { f.Add(shorten.Replace(first), shorten.Replace(second)) }
	add(fileOf(p), "")
	add(configDoc(agentID), secretDoc(p))
	add("a: b\nc: 'd", "{")
	for seed := range uint64(40) {
		data := randomLayout(mathrand.New(mathrand.NewPCG(seed, 2))).write(p, false)
		add(string(data[DefaultKey]), string(data[CertificateKey]))
	}
	return func(first, second string) map[string][]byte {
		data := dataOf(expand.Replace(first))
		if second != "" {
			data[CertificateKey] = []byte(expand.Replace(second))
		}
		return data
	}
}

// Both targets want -fuzzminimizetime=1x: minimising inputs of this size takes all the time there is.
func FuzzParse(f *testing.F) {
	p := fixedPair(f, 1, 24*time.Hour)
	expand := addSeeds(f, p)
	f.Fuzz(func(t *testing.T, first, second string) {
		r, err := Parse(expand(first, second), DefaultKey)
		if err != nil {
			if _, is := errors.AsType[*Error](err); !is {
				t.Fatalf("not an Error: %v", err)
			}
			assertQuiet(t, err, p)
			return
		}
		if again := mustParse(t, dataOf(string(r.Marshal()))); !reflect.DeepEqual(r, again) {
			t.Fatalf("Marshal gives another registration:\n%s", r.Marshal())
		}
	})
}

func FuzzMerge(f *testing.F) {
	p, q := fixedPair(f, 1, 24*time.Hour), fixedPair(f, 2, 48*time.Hour)
	expand := addSeeds(f, p)
	other := mustParse(f, dataOf(fileOf(q)))
	f.Fuzz(func(t *testing.T, first, second string) {
		data := expand(first, second)
		before := clone(data)
		r, err := Parse(data, DefaultKey)
		if err != nil {
			return
		}
		same, err := Merge(data, DefaultKey, r)
		if err != nil || !equalData(same, before) {
			t.Fatalf("merging what is there changed it: %v", err)
		}
		from := *other
		from.agentID = r.agentID
		merged, err := Merge(data, DefaultKey, &from)
		if slices.ContainsFunc(slices.Collect(maps.Values(data)), func(b []byte) bool { return len(b) > MaxSize/2 }) {
			return // may grow too large
		}
		if err != nil {
			t.Fatal(err)
		}
		got := mustParse(t, merged)
		if got.Certificate() != other.Certificate() || got.AgentID() != r.AgentID() || got.AnypointURL() != r.AnypointURL() {
			t.Fatal("the merged file has another registration")
		}
		back, err := Merge(merged, DefaultKey, r)
		if err != nil || !bytes.Equal(mustParse(t, back).Marshal(), r.Marshal()) {
			t.Fatalf("merging back gives another registration: %v", err)
		}
		if !equalData(data, before) {
			t.Fatal("the input was changed")
		}
	})
}
