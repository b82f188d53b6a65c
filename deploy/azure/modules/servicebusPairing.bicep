// The alias is what everybody connects to: a failover takes it to the second namespace, with the entities and without messages.
param namespace string
param secondId string
param alias string

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespace
}

resource pairing 'Microsoft.ServiceBus/namespaces/disasterRecoveryConfigs@2024-01-01' = {
  parent: bus
  name: alias
  properties: {
    partnerNamespace: secondId
  }
}
