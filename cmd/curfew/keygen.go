package main

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/curfew-proxy/curfew/cookie"
)

var keygen = command{
	name: "keygen", args: "[-id ID] [-sign-from TIME] [-env NAME] [-kubernetes NAME] [-out FILE]",
	does: "make a key for the config's keys",
	about: "The key, 32 random bytes in base64, goes to standard output or to the file of -out, as a line for a file of environment variables or as a Secret of Kubernetes. " +
		"The entry for the config's keys, and what else is to do, goes to standard error.\n" +
		"To replace a key, make the next one with -sign-from: every proxy gets it before that time and begins to sign with it in the same second, and nobody is logged out.",
	examples: []example{
		{"the first key", "curfew keygen -out curfew.env"},
		{"the next one, which begins to sign at New Year", "curfew keygen -sign-from 2027-01-01T00:00:00Z -out next.env"},
		{"a Secret for the cluster", "curfew keygen -kubernetes curfew -out secret.yaml"},
	},
	flags: func(set *flag.FlagSet) func(*terminal, []string) error {
		k := &newKey{}
		set.StringVar(&k.id, "id", "", "`ID` of the key, 1 to 16 of A-Z a-z 0-9 _ -; by default the month in which it begins to sign, such as 2026-11")
		set.StringVar(&k.env, "env", "", "`NAME` of the environment variable; by default CURFEW_KEY_ and the id")
		set.StringVar(&k.secret, "kubernetes", "", "print a Secret of this `NAME`")
		set.StringVar(&k.out, "out", "", "write the key to a new `FILE` that only this user may read")
		timeFlag(set, &k.signFrom, "sign-from", "when the key begins to sign, a `TIME` to come such as 2027-01-01T00:00:00Z (RFC 3339)")
		return k.make
	},
}

// newKey is what keygen is asked for.
type newKey struct {
	id, env, secret, out string
	signFrom             time.Time
}

// keyEntry is an entry of the config's keys.
type keyEntry struct {
	ID        string `json:"id"`
	SecretEnv string `json:"secret_env"`
	SignFrom  string `json:"sign_from,omitempty"`
}

var (
	envName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	secretName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
)

func (k *newKey) make(t *terminal, args []string) error {
	if len(args) > 0 {
		return t.misused("keygen: takes no argument; what is random needs none")
	}
	now := t.now().UTC()
	from := now
	if !k.signFrom.IsZero() {
		from = k.signFrom.UTC()
	}
	k.id = cmp.Or(k.id, from.Format("2006-01"))
	k.env = cmp.Or(k.env, "CURFEW_KEY_"+strings.ToUpper(strings.ReplaceAll(k.id, "-", "_")))
	switch {
	case !cookie.ValidKeyID(k.id):
		return t.misused("keygen: -id %q: must be 1 to 16 of A-Z a-z 0-9 _ -, such as 2026-11", k.id)
	case !envName.MatchString(k.env):
		return t.misused("keygen: -env %q: must be the name of an environment variable, such as CURFEW_KEY: A-Z a-z 0-9 _", k.env)
	case k.secret != "" && !secretName.MatchString(k.secret):
		return t.misused("keygen: -kubernetes %q: must be the name of a Secret, such as curfew-key: a-z 0-9 . -", k.secret)
	case from.Before(now):
		return t.misused("keygen: -sign-from %s: has passed; give a time by which every proxy has the key, or leave it out for the first key", from.Format(time.RFC3339))
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails: Go ends the program instead
	text := k.env + "=" + base64.StdEncoding.EncodeToString(key) + "\n"
	if k.secret != "" {
		text = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: " + k.secret + "\nstringData:\n  " + strings.Replace(text, "=", ": ", 1)
	}
	if err := k.put(t, text); err != nil {
		return err
	}
	return k.advise(t)
}

func (k *newKey) put(t *terminal, text string) error {
	if k.out == "" {
		_, err := fmt.Fprint(t.out, text)
		return err
	}
	f, err := os.OpenFile(k.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("-out %s: is there already, and what it holds may be in use; name another file", k.out)
	}
	if err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(k.out) // half a key would be taken for one
	}
	return err
}

// advise says what to do with the key.
func (k *newKey) advise(t *terminal) error {
	entry := keyEntry{ID: k.id, SecretEnv: k.env}
	if !k.signFrom.IsZero() {
		entry.SignFrom = k.signFrom.UTC().Format(time.RFC3339)
	}
	text, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.err, "Add to the filter's keys:\n  %s\n", text)
	fmt.Fprintf(t.err, "Hand %s to the proxy: environment_variables.host_env_keys (Envoy), vmConfig.env (Istio).\n", k.env)
	if entry.SignFrom != "" {
		fmt.Fprintf(t.err, "Every proxy needs both before %s; the old key signs until then. Take that out when timeouts.absolute, or remember.absolute, has passed after it.\n", entry.SignFrom)
	}
	fmt.Fprintln(t.err, "Who has the key can be anybody: keep it with the proxy's other secrets, out of version control.")
	return nil
}
