package main

import (
	"bufio"
	"fmt"
	"os"
	"testing"
	"time"
)

// BenchmarkImport imports AWS Config items, of each of which come two
// records, into a local service, and counts the processor time of both programs.
func BenchmarkImport(b *testing.B) {
	for name, flags := range map[string][]string{"artifacts": nil, "inline": {"--inline"}} {
		b.Run(name, func(b *testing.B) {
			r := newRecorders(b)
			s, url := r.service("log", chainPolicy)
			file := r.path("export.json")
			if err := writeConfigItems(file, (b.N+1)/2); err != nil {
				b.Fatal(err)
			}
			cmd := r.command("home", append([]string{"import", "aws-config", "--log", url, "--key", r.path("k.pem"), file}, flags...)...)
			b.ResetTimer()
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
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

// writeConfigItems writes a snapshot of n instances as AWS Config does.
func writeConfigItems(path string, n int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	sep := `{"fileVersion":"1.0","configurationItems":[`
	for i := range n {
		id := fmt.Sprintf("i-%017x", i)
		fmt.Fprintf(w, `%s{"configurationItemVersion":"1.3","configurationItemCaptureTime":"2026-03-01T08:00:00.123Z","configurationItemStatus":"OK",`+
			`"awsAccountId":"340287110954","awsRegion":"eu-central-1","availabilityZone":"eu-central-1b","resourceType":"AWS::EC2::Instance",`+
			`"resourceId":"%s","ARN":"arn:aws:ec2:eu-central-1:340287110954:instance/%s","tags":{"env":"production","owner":"team-7"},`+
			`"relationships":[{"resourceType":"AWS::EC2::VPC","resourceId":"vpc-0a1","name":"Is contained in Vpc"}],`+
			`"configuration":{"instanceId":"%s","imageId":"ami-0b2","instanceType":"m7i.large","architecture":"x86_64","vpcId":"vpc-0a1",`+
			`"state":{"code":16,"name":"running"},"privateIpAddress":"10.20.3.4","ebsOptimized":true,`+
			`"blockDeviceMappings":[{"deviceName":"/dev/xvda","ebs":{"volumeId":"vol-0c3","status":"attached"}}],`+
			`"metadataOptions":{"httpTokens":"required","httpPutResponseHopLimit":2}}}`, sep, id, id, id)
		sep = ",\n"
	}
	fmt.Fprint(w, "]}\n")
	return w.Flush()
}
