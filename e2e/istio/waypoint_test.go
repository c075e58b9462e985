package istio

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	statevalue "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	mutation "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	state "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/xds/filters"
	"istio.io/istio/pkg/test"
)

// What a user of waypoint.yaml has: a service behind the waypoint. Istio's own controller makes the waypoint's Service and Pod of the
// Gateway, and says so in its status. The EnvoyFilter moves the waypoint from port 15008 to a free one.
const behindWaypoint = `
apiVersion: v1
kind: Service
metadata: {name: waypoint, namespace: shop, labels: {gateway.istio.io/managed: istio.io-mesh-controller, gateway.networking.k8s.io/gateway-name: waypoint}}
spec: {selector: {gateway.networking.k8s.io/gateway-name: waypoint}, clusterIP: 10.0.0.2, ports: [{name: mesh, port: 15008, appProtocol: hbone}]}
---
apiVersion: v1
kind: Pod
metadata: {name: waypoint, namespace: shop, labels: {gateway.istio.io/managed: istio.io-mesh-controller, gateway.networking.k8s.io/gateway-name: waypoint}}
spec: {containers: [{name: istio-proxy, image: auto}]}
status: {phase: Running, podIP: 127.0.0.2, podIPs: [{ip: 127.0.0.2}], conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec: {selector: {app: shop}, clusterIP: 10.0.0.1, ports: [{name: http, port: 80, targetPort: %[1]d}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop, namespace: shop, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{name: http, port: %[1]d}]
endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: shop, namespace: shop}}]
---
apiVersion: v1
kind: Pod
metadata: {name: shop, namespace: shop, labels: {app: shop}}
spec: {containers: [{name: app, image: app, ports: [{containerPort: %[1]d}]}]}
status: {phase: Running, podIP: 127.0.0.1, podIPs: [{ip: 127.0.0.1}], conditions: [{type: Ready, status: "True"}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: port, namespace: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}]
  configPatches:
    - applyTo: LISTENER
      match: {context: SIDECAR_INBOUND, listener: {name: connect_terminate}}
      patch: {operation: MERGE, value: {address: {socket_address: {address: 127.0.0.1, port_value: %[2]d}}}}
`

// The file makes a waypoint keep the sessions of the services behind it, with the guard.
func TestWaypoint(t *testing.T) {
	test.SetForTest(t, &features.EnableAmbient, true)
	test.SetForTest(t, &features.EnableAmbientWaypoints, true)
	// What only Istio's own build of Envoy has: it labels metrics, and keeps a word for other networks.
	test.SetForTest(t, &filters.WaypointDownstreamMetadataFilter, nothing(t, "downstream-metadata"))
	test.SetForTest(t, &filters.WaypointUpstreamMetadataFilter, nothing(t, "upstream-metadata"))
	test.SetForTest(t, &filters.ConnectAuthorityFilter, destination(t))

	port := freePort(t)
	text := manifest(t, "istio/waypoint.yaml")
	const status = "\nstatus: {addresses: [{type: Hostname, value: waypoint.shop.svc.cluster.local}]}"
	text = replace(t, text, "protocol: HBONE}", "protocol: HBONE}"+status)
	text += "\n---\n" + fmt.Sprintf(behindWaypoint, newApp(t), port)
	m := newMesh(t, text, text)
	ca := newAuthority(t)
	p := node{role: "waypoint", ip: "127.0.0.2", name: "waypoint", namespace: "shop", secret: newKey(), secrets: ca.serve(t), labels: map[string]string{
		"gateway.networking.k8s.io/gateway-name": "waypoint", "gateway.istio.io/managed": "istio.io-mesh-controller"}}.start(t, m.address)
	p.listens(t, fmt.Sprintf("127.0.0.1:%d", port))

	c := newClient(t)
	c.Transport = ca.tunnel(t, fmt.Sprintf("127.0.0.1:%d", port), "10.0.0.1:80")
	m.guards(t, c, "http://shop.example")
}

func nothing(t *testing.T, name string) *hcm.HttpFilter {
	return filter(t, name, &mutation.HeaderMutation{})
}

func filter(t *testing.T, name string, m proto.Message) *hcm.HttpFilter {
	t.Helper()
	config, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return &hcm.HttpFilter{Name: name, ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: config}}
}

// destination is Istio's filter that notes where a CONNECT wants to go, and no more.
func destination(t *testing.T) *hcm.HttpFilter {
	t.Helper()
	var c state.Config
	if err := filters.ConnectAuthorityFilter.GetTypedConfig().UnmarshalTo(&c); err != nil {
		t.Fatal(err)
	}
	c.OnRequestHeaders = slices.DeleteFunc(c.OnRequestHeaders, func(v *statevalue.FilterStateValue) bool {
		return v.GetObjectKey() != filters.OriginalDstFilterStateKey
	})
	return filter(t, "connect_authority", &c)
}

// authority is the mesh's CA: istio-agent gives a proxy certificates of it by SDS.
type authority struct {
	secret.UnimplementedSecretDiscoveryServiceServer
	root, cert, key []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := url.Parse("spiffe://cluster.local/ns/shop/sa/default")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), URIs: []*url.URL{id}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	root, err := x509.CreateCertificate(rand.Reader, template, template, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	leaf := *template
	leaf.SerialNumber, leaf.IsCA, leaf.KeyUsage = big.NewInt(2), false, x509.KeyUsageDigitalSignature
	cert, err := x509.CreateCertificate(rand.Reader, &leaf, template, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	return &authority{root: encode("CERTIFICATE", root), cert: encode("CERTIFICATE", cert), key: encode("PRIVATE KEY", pkcs8)}
}

// serve answers SDS at the address that it returns.
func (a *authority) serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	secret.RegisterSecretDiscoveryServiceServer(s, a)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// StreamSecrets gives each secret once.
func (a *authority) StreamSecrets(stream secret.SecretDiscoveryService_StreamSecretsServer) error {
	inline := func(b []byte) *core.DataSource {
		return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: b}}
	}
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		if r.GetVersionInfo() != "" {
			continue
		}
		res := &discovery.DiscoveryResponse{VersionInfo: "1", Nonce: "1", TypeUrl: r.GetTypeUrl()}
		for _, name := range r.GetResourceNames() {
			s := &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(a.cert), PrivateKey: inline(a.key)}}}
			if name == "ROOTCA" {
				s.Type = &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(a.root)}}
			}
			packed, err := anypb.New(s)
			if err != nil {
				return err
			}
			res.Resources = append(res.Resources, packed)
		}
		if err := stream.Send(res); err != nil {
			return err
		}
	}
}

// tunnel is a transport that reaches a service as ztunnel does: by HTTP CONNECT over mTLS to its waypoint.
func (a *authority) tunnel(t *testing.T, waypoint, service string) *http.Transport {
	t.Helper()
	pair, err := tls.X509KeyPair(a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	outer := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}} //nolint:gosec // a certificate of this test's own
	inner := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		res, err := outer.RoundTrip(&http.Request{Method: "CONNECT", URL: &url.URL{Scheme: "https", Host: waypoint}, Host: service, Body: far, Header: http.Header{}})
		if err != nil {
			return nil, err
		}
		if res.StatusCode != 200 {
			return nil, fmt.Errorf("CONNECT: %s", res.Status)
		}
		go func() {
			_, _ = io.Copy(far, res.Body)
			_ = far.Close()
		}()
		return near, nil
	}}
	t.Cleanup(func() { inner.CloseIdleConnections(); outer.CloseIdleConnections() })
	return inner
}
