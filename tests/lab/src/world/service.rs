//! Services of a world, and the web server that answers for their pods.

use anyhow::Result;
use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use super::World;
use crate::{
    identity,
    web::{self, Site},
};

impl World {
    /// Creates the Service of the workload with the same name, at port 80. Its `EndpointSlice`s are the controller's.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn service(&self, name: &str) -> Result<()> {
        let spec = json!({"selector": {"app": name}, "ports": [{"port": 80}]});
        let object = self.of_kind("v1", "Service", name, &json!({"spec": spec}));
        identity::apply(&self.api::<Service>(), name, &object).await?;
        Ok(())
    }

    /// A web server on the loopback that answers as a Service's pods would, see [`web`].
    ///
    /// # Errors
    /// There is no port, or the cluster does not answer.
    pub async fn serve(&self, service: &str) -> Result<Site> {
        web::serve(&self.client, &self.namespace, service).await
    }
}
