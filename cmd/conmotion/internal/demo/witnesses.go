package demo

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// watchEachOther has each party run a witness for the logs of the two others, and each
// log publish only what both of them cosigned. Of what it starts, it tells running.
func (d *demonstration) watchEachOther(running func(*process)) error {
	program, err := find(d.ctx, d.dir, "conmotion-witness")
	if err != nil {
		return err
	}
	d.Say("\nThe parties watch each other's logs: a checkpoint is published when the two others have cosigned it\n")
	services, lines := d.services(), map[string]string{}
	for _, s := range services {
		dir, name := filepath.Join(s.dir, "witness"), s.name+".example/witness"
		for _, other := range services {
			if other == s {
				continue
			}
			d.Say("   $ conmotion-witness log add --dir %s %s", dir, other.url)
			if out, err := exec.CommandContext(d.ctx, program, "log", "add", "--dir", dir, other.url).CombinedOutput(); err != nil {
				return fmt.Errorf("conmotion-witness log add: %w: %s", err, bytes.TrimSpace(out))
			}
		}
		var url, key string
		p, err := run(d.ctx, fmt.Sprintf("the %s's witness", s.name), filepath.Join(s.dir, "witness.log"), program,
			[]string{"--dir", dir, "--name", name, "--listen", "127.0.0.1:0"}, func(line string) bool {
				line = strings.TrimSpace(line)
				if after, ok := strings.CutPrefix(line, "conmotion-witness "+name+" at "); ok {
					url, _, _ = strings.Cut(after, ",")
				}
				if key == "" && strings.HasPrefix(line, name+"+") {
					key = line
				}
				return line == "try"
			})
		if err != nil {
			return err
		}
		running(p)
		s.witness = shellLine([]string{program, "--dir", dir, "--listen", strings.TrimPrefix(url, "http://")})
		lines[s.name] = fmt.Sprintf("witness %s %s %s\n", s.name, key, url)
	}
	for _, s := range services {
		log, err := d.open(s)
		if err != nil {
			return err
		}
		policy, names := fmt.Sprintf("log %s\n", log.Key()), ""
		for _, other := range services {
			if other != s {
				policy += lines[other.name]
				names += " " + other.name
			}
		}
		policy += fmt.Sprintf("group both all%s\nquorum both\n", names)
		if err := os.WriteFile(s.policy(), []byte(policy), 0o644); err != nil {
			return err
		}
		if err := s.stop(); err != nil {
			return err
		}
		if err := s.start(d.ctx, d.program, s.address(), "--witness-policy", s.policy(), "--checkpoint-interval", "100ms"); err != nil {
			return err
		}
		d.Say("the %s's service starts again with --witness-policy %s", s.name, s.policy())
	}
	return nil
}

// policy is the witness policy of the service's log.
func (s *service) policy() string { return filepath.Join(s.dir, "witness-policy") }

// quorums are the flags that demand the quorums of all logs.
func (d *demonstration) quorums() (flags []string) {
	for _, s := range d.services() {
		flags = append(flags, "--witness-policy", s.policy())
	}
	return flags
}
