package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/bench"
	"github.com/conmotion/conmotion/internal/testprogram"
)

// BenchmarkImport imports AWS Config items, of each of which come two
// records, into a local service, and counts the processor time of both programs, the command's memory, and
// which share it reaches of the registrations of conmotion bench at another service.
func BenchmarkImport(b *testing.B) {
	for name, flags := range map[string][]string{"artifacts": nil, "inline": {"--inline"}} {
		b.Run(name, func(b *testing.B) {
			r := newRecorders(b)
			s, url := r.service("log", chainPolicy)
			file := r.path("export.json")
			if err := writeConfigItems(file, (b.N+1)/2, 0); err != nil {
				b.Fatal(err)
			}
			other, loaded := r.service("load", openPolicy)
			var load struct{ Registrations bench.Phase }
			if err := json.Unmarshal([]byte(r.run("bench", "--json", "--log", loaded, "-n", fmt.Sprint(max(b.N, 1024)))), &load); err != nil {
				b.Fatal(err)
			}
			if err := other.stop(); err != nil {
				b.Fatal(err)
			}
			cmd := r.program(append([]string{"import", "aws-config", "--log", url, "--key", r.path("k.pem"), file}, flags...)...)
			b.ResetTimer()
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
			rate := float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "records/s")
			b.ReportMetric(rate/load.Registrations.PerSecond, "of-bench")
			b.ReportMetric(float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)/1024, "command-MiB")
			service := s.running
			if err := s.stop(); err != nil {
				b.Fatal(err)
			}
			used := func(p *os.ProcessState) time.Duration { return (p.UserTime() + p.SystemTime()) / time.Duration(b.N) }
			b.ReportMetric(float64(used(cmd.ProcessState).Microseconds()), "command-µs/record")
			b.ReportMetric(float64(used(service.ProcessState).Microseconds()), "service-µs/record")
		})
	}
}

// BenchmarkScan imports a complete scan of b.N instances, and then one in which one in 200 of them has changed. Of it is
// reported which share of the first one's time it took. Hours are between two scans, so the service has indexed the first
// one for its search before the second begins; what of that is done behind the first one is in neither's time.
func BenchmarkScan(b *testing.B) {
	r := newRecorders(b)
	_, url := r.service("log", chainPolicy)
	scan := func(name, ended string, changed int) time.Duration {
		file := r.path(name)
		if err := writeConfigItems(file, b.N, changed); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if out, err := r.program("import", "aws-config", "--log", url, "--key", r.path("k.pem"), "--complete", "all", "--started", ended, "--ended", ended, file).CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		return time.Since(began)
	}
	first := scan("1.json", "2026-03-02", 0)
	if err := indexed(url, uint64(2+2*b.N+1)); err != nil { // the log's own entries, two for each instance, and the scan
		b.Fatal(err)
	}
	second := scan("2.json", "2026-03-03", (b.N+199)/200)
	b.ReportMetric(first.Seconds(), "first-s")
	b.ReportMetric(second.Seconds(), "second-s")
	b.ReportMetric(second.Seconds()/first.Seconds(), "second/first")
}

// program is the program itself: that of the tests also checks the words that it prints.
func (r *recorders) program(args ...string) *exec.Cmd {
	cmd := r.command("home", args...)
	cmd.Path = testprogram.Path(r.t, "conmotion")
	return cmd
}

// writeConfigItems writes a snapshot of n instances as AWS Config does, of which the first ones have changed a day later.
func writeConfigItems(path string, n, changed int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	sep := `{"fileVersion":"1.0","configurationItems":[`
	for i := range n {
		id, day, image := fmt.Sprintf("i-%017x", i), 1, "ami-0b2"
		if i < changed {
			day, image = 2, "ami-0b3"
		}
		fmt.Fprintf(w, `%s{"configurationItemVersion":"1.3","configurationItemCaptureTime":"2026-03-0%dT08:00:00.123Z","configurationItemStatus":"OK",`+
			`"awsAccountId":"340287110954","awsRegion":"eu-central-1","availabilityZone":"eu-central-1b","resourceType":"AWS::EC2::Instance",`+
			`"resourceId":"%s","ARN":"arn:aws:ec2:eu-central-1:340287110954:instance/%s","tags":{"env":"production","owner":"team-7"},`+
			`"relationships":[{"resourceType":"AWS::EC2::VPC","resourceId":"vpc-0a1","name":"Is contained in Vpc"}],`+
			`"configuration":{"instanceId":"%s","imageId":"%s","instanceType":"m7i.large","architecture":"x86_64","vpcId":"vpc-0a1",`+
			`"state":{"code":16,"name":"running"},"privateIpAddress":"10.20.3.4","ebsOptimized":true,`+
			`"blockDeviceMappings":[{"deviceName":"/dev/xvda","ebs":{"volumeId":"vol-0c3","status":"attached"}}],`+
			`"metadataOptions":{"httpTokens":"required","httpPutResponseHopLimit":2}}}`, sep, day, id, id, id, image)
		sep = ",\n"
	}
	fmt.Fprint(w, "]}\n")
	return w.Flush()
}
