// An identity that one service account, the same in each cluster, may act as.
param name string
param location string
param issuers array
param subject string

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: name
  location: location
}

// One after the other: Azure refuses two that are written to one identity at a time.
@batchSize(1)
resource federated 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = [for (issuer, i) in issuers: {
  parent: identity
  name: i == 0 ? 'cluster' : 'cluster-${i + 1}'
  properties: {
    issuer: issuer
    subject: subject
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}]

output clientId string = identity.properties.clientId
output principalId string = identity.properties.principalId
