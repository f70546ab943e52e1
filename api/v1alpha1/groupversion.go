// Package v1alpha1 is the API of the operator: the resources FlexRegistration and ExperienceHubConnection.
//
// +kubebuilder:object:generate=true
// +groupName=gateway.flexops.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of the types in this package.
var GroupVersion = schema.GroupVersion{Group: "gateway.flexops.dev", Version: "v1alpha1"}

// AddToScheme registers the types in this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &FlexRegistration{}, &FlexRegistrationList{}, &ExperienceHubConnection{}, &ExperienceHubConnectionList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
