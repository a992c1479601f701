package importer

import (
	"bytes"
	"testing"
)

// BenchmarkConvert measures the formats, checks of every event included.
func BenchmarkConvert(b *testing.B) {
	const n = 1000
	for _, bb := range []struct {
		name string
		c    converter
		in   []byte
		o    Options
	}{
		{"AWSConfig", readAWS, awsSnapshot(n), Options{}},
		{"GCPAssets", readGCP, gcpExport(n), Options{}},
		{"Prowler", readProwler, prowlerFile(n), Options{}},
		{"ProwlerInventory", readProwler, prowlerFile(n), Options{Inventory: true}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(bb.in)))
			b.ReportAllocs()
			events := 0
			for b.Loop() {
				for _, err := range bb.c(bytes.NewReader(bb.in), bb.o) {
					if err != nil {
						b.Fatal(err)
					}
					events++
				}
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "items/s")
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkSplit measures the division into items alone.
func BenchmarkSplit(b *testing.B) {
	in := awsSnapshot(1000)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		n := 0
		for _, err := range items(bytes.NewReader(in), Options{}, layout{containers: []string{"configurationItems"}}, nil) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 1000 {
			b.Fatal(n)
		}
	}
}
